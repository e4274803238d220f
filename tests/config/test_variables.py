"""Environment variables with Perennial's prefix: those that are read, and those that are not."""

import re
from pathlib import Path

import pytest

from config.variables import known_variables, unknown_variables

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("PERENNIAL_SERVE_MAX_CONCURENT", "PERENNIAL_SERVE_MAX_CONCURRENT"),
        ("PERENNIAL_DATABSE_URL", "PERENNIAL_DATABASE_URL"),
        ("PERENNIAL_SERVER_PORT", "PERENNIAL_SERVE_PORT"),
        ("PERENIAL_SERVE_PORT", "PERENNIAL_SERVE_PORT"),
        ("PERRENIAL_VAR", "PERENNIAL_VAR"),
        ("perennial_serve_prot", "PERENNIAL_SERVE_PORT"),
        ("PERENNIAL_RETENTION_FOO", ""),
    ],
)
def test_a_misspelt_variable_is_found_with_the_closest_name(name: str, close: str) -> None:
    """A word, a letter and the prefix may be wrong; where nothing is close, nothing is guessed."""
    assert list(unknown_variables({name: "1"})) == [(name, close)]


@pytest.mark.parametrize(
    "environment",
    [
        {"PERENNIAL_SERVICE_HOST": "10.0.0.1"},
        {"PERENNIAL_SERVICE_PORT_HTTP": "8470"},
        {"PERENNIAL_PORT": "tcp://10.0.0.1:8470"},
        {"PERENNIAL_PORT_8470_TCP_ADDR": "10.0.0.1"},
        {"PERSONAL_TOKEN": "x", "PERL5LIB": "/usr/lib", "PERF_EVENTS": "1"},
        {"perennial_serve_port": "8470", "PREFECT_API_URL": "http://localhost"},
    ],
)
def test_variables_of_others_are_not_reported(environment: dict[str, str]) -> None:
    """Kubernetes names variables after a service; other programs have prefixes of their own; case does not count."""
    assert list(unknown_variables(environment)) == []


def test_every_variable_that_the_documents_name_is_known() -> None:
    """What a page, the Makefile or a deployment sets is not reported as misspelt."""
    files = [*ROOT.glob("docs/**/*.md"), ROOT / "Makefile", ROOT / "prefect.yaml", ROOT / "README.md"]
    named = {name for path in files for name in re.findall(r"\bPERENNIAL_[A-Z0-9_]*[A-Z0-9]\b", path.read_text())}
    assert named - known_variables() <= {
        "PERENNIAL_HOOKS",
        "PERENNIAL_SERVE",
        "PERENNIAL_ALERTS",
        "PERENNIAL_RETENTION",
    }
