"""The commands of the prediction service, up to the first process."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from config.settings import Settings


def _invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--host", "0.0.0.0", "--access", "open"), "every client that reaches 0.0.0.0 could use the service"),  # noqa: S104 - it is refused
        (("--access", "required"), "the service requires credentials and no key exists: create one with"),
        (("--workers", "0"), "--workers"),
        (("--port", "65536"), "--port"),
        (("--log", "never"), "'never' is not one of"),
        (("--model", "a", "--access", "sometimes"), "'sometimes' is not one of"),
    ],
)
def test_a_service_that_would_be_unsafe_or_useless_does_not_start(
    project: Settings, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    """Exit code 2, with the option or the command that helps."""
    assert project
    monkeypatch.setenv("PERENNIAL_SERVE_PORT", "0")
    result = _invoke("serve", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_key_opens_what_was_asked_for(project: Settings) -> None:
    """From its creation to its end, by the commands alone."""
    assert project
    text = _invoke("keys", "create", "shop", "--scope", "predict").stdout.strip()
    (line,) = _invoke("keys", "list").stdout.splitlines()[1:]
    key_id = line.split()[0]
    assert text.startswith(f"pk_{key_id}_")
    assert line.endswith("active")
    assert _invoke("keys", "revoke", text).stdout == f"revoked {key_id} (shop)\n"
    assert _invoke("keys", "list").stdout.splitlines()[1].endswith("revoked")
