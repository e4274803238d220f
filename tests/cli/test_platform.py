from __future__ import annotations

import pytest
from click.testing import CliRunner

from cli.main import main
from config.settings import Settings


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:s3cret@host/rows",
        "postgresql+psycopg://ann:s3cret@/rows?host=/run/postgresql",
        "postgresql://ann@host/rows?password=s3cret",
    ],
)
def test_a_password_on_the_command_line_is_refused(project: Settings, address: str) -> None:
    """The message says where to put it, does not repeat it, and nothing is started or written."""
    ended = CliRunner().invoke(main, ["up", "--detach", "--postgres", address])
    assert ended.exit_code == 2
    assert "PERENNIAL_DATABASE_URL" in ended.output
    assert "s3cret" not in ended.output
    assert not project.var.exists()


def test_an_address_that_is_none_is_refused(project: Settings) -> None:
    """It is not repeated either: what is malformed may hold a password."""
    ended = CliRunner().invoke(main, ["up", "--postgres", "s3cret@host"])
    assert ended.exit_code == 2
    assert "expected an address like postgresql://user@host/database" in ended.output
    assert "s3cret" not in ended.output
    assert not project.var.exists()
