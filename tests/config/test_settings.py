from pathlib import Path

import pytest

from config.settings import HookSettings, ServingSettings, load_section, load_settings
from core.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERENNIAL_ROOT", "PERENNIAL_VAR", "PERENNIAL_MLFLOW_URI", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_project_is_found_from_a_folder_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest folder above with config/models is the project, and addresses follow from it."""
    (tmp_path / "config" / "models").mkdir(parents=True)
    inside = tmp_path / "notebooks" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    settings = load_settings()
    assert settings.root == tmp_path
    assert settings.mlflow_uri == f"sqlite:///{tmp_path}/var/mlflow.db"


def test_outside_a_project_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No project above the working directory is the user's to fix."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="PERENNIAL_ROOT"):
        load_settings()


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address can be set, MLflow's under its own name too."""
    monkeypatch.setenv("PERENNIAL_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.internal:5000")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql+psycopg://db/perennial")
    settings = load_settings()
    assert settings.root == tmp_path
    assert settings.mlflow_uri == "http://mlflow.internal:5000"
    assert settings.database_url == "postgresql+psycopg://db/perennial"


def test_a_malformed_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number out of bounds names its variable."""
    monkeypatch.setenv("PERENNIAL_ROOT", str(tmp_path))
    monkeypatch.setenv("PERENNIAL_MAX_ROWS", "0")
    with pytest.raises(ConfigError, match="PERENNIAL_MAX_ROWS"):
        load_settings()


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification's test vector


def test_secrets_of_webhooks_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several senders, several keys of one, and keys for one model; separated by whatever stands well in a file."""
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", f" ci={SECRET},\n ci={SECRET[6:]}, erp.branch-7/credit={SECRET}\n")
    monkeypatch.setenv("PERENNIAL_HOOKS_GITHUB", "repo=0123456789abcdef=")
    found = load_section(HookSettings).keys
    names = [
        ("standard", "ci", ""),
        ("standard", "ci", ""),
        ("standard", "erp.branch-7", "credit"),
        ("github", "repo", ""),
    ]
    assert [(key.convention, key.sender, key.model) for key in found] == names
    assert len({key.secret for key in found[:3]}) == 1
    assert found[3].secret == b"0123456789abcdef="


def test_without_secrets_nobody_sends_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is as good as none."""
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", " ,")
    assert load_section(HookSettings).keys == ()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STANDARD", "MARKER", "entry 1 of PERENNIAL_HOOKS_STANDARD is not sender=secret"),
        ("STANDARD", f"ci={SECRET} MARKER", "entry 2 of PERENNIAL_HOOKS_STANDARD is not sender=secret"),
        ("STANDARD", f"a b=whsec_MARKER{SECRET}", "entry 1"),
        ("STANDARD", f"=MARKER{SECRET}", "is not sender=secret"),
        ("STANDARD", f"ci/Credit=MARKER{SECRET}", "is not sender=secret"),
        ("STANDARD", "ci=whsec_MARKER!", "is not whsec_ and base64"),
        ("STANDARD", "ci=MARKER-of-a-text-that-is-no-base64", "is not whsec_ and base64"),
        ("STANDARD", "ci=whsec_MARKERxx", "less than 24 bytes; 'perennial hooks secret'"),
        ("STANDARD", "ci=", "less than 24 bytes"),
        ("GITHUB", "repo=MARKER", "less than 16 bytes"),
        ("MLFLOW", "registry=MARKER", "entry 1 of PERENNIAL_HOOKS_MLFLOW has less than 16 bytes"),
        ("PER_MINUTE", "0", "PERENNIAL_HOOKS_PER_MINUTE: Input should be greater"),
    ],
)  # fmt: skip
def test_a_malformed_secret_is_named_and_not_shown(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the message, nor in what caused it."""
    monkeypatch.setenv(f"PERENNIAL_HOOKS_{variable}", value)
    with pytest.raises(ConfigError, match=message) as caught:
        load_section(HookSettings)
    assert "MARKER" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_settings_of_webhooks_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is told to workers holds them."""
    monkeypatch.setenv("PERENNIAL_HOOKS_STANDARD", f"ci={SECRET}")
    found = load_section(HookSettings)
    assert SECRET[6:] not in f"{found} {found!r} {found.model_dump()} {found.model_dump_json()} {found.keys!r}"
    assert found.to_dict()["standard"] == f"ci={SECRET}"


def test_a_section_names_its_variable_and_takes_given_options_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed variable is named with its prefix; an option given on the command line replaces it."""
    monkeypatch.setenv("PERENNIAL_SERVE_PORT", "many")
    with pytest.raises(ConfigError, match=r"not valid: PERENNIAL_SERVE_PORT: Input should be a valid integer"):
        load_section(ServingSettings)
    assert load_section(ServingSettings, port=0, workers=None).port == 0


def test_trusted_proxies_are_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separated by spaces or commas; none by default."""
    assert load_section(ServingSettings).proxy_networks == ()
    monkeypatch.setenv("PERENNIAL_SERVE_TRUSTED_PROXIES", "10.0.0.1, 192.0.2.0/24\n2001:db8::/32")
    monkeypatch.setenv("PERENNIAL_SERVE_PROXY_HEADER", "forwarded")
    found = load_section(ServingSettings)
    assert [str(network) for network in found.proxy_networks] == ["10.0.0.1/32", "192.0.2.0/24", "2001:db8::/32"]
    assert ServingSettings.model_validate(found.model_dump()) == found


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TRUSTED_PROXIES", "proxy.internal", "does not appear to be an IPv4 or IPv6 network"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "has host bits set"),
        ("TRUSTED_PROXIES", "10.0.0.1 0.0.0.0/0", "would trust every client"),
        ("TRUSTED_PROXIES", "::/0", "would trust every client"),
        ("PROXY_HEADER", "x-real-ip", "Input should be 'x-forwarded-for' or 'forwarded'"),
    ],
)
def test_a_proxy_that_is_no_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """A network of all addresses too: each client could then name any address as its own."""
    monkeypatch.setenv(f"PERENNIAL_SERVE_{variable}", value)
    with pytest.raises(ConfigError, match=f"PERENNIAL_SERVE_{variable}: .*{message}"):
        load_section(ServingSettings)
