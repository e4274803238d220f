from pathlib import Path

import pytest

from config.prefect_file import PrefectFile, load_prefect_file
from core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def text() -> str:
    """Content of the repository's file."""
    return (ROOT / "prefect.yaml").read_text()


def _load(folder: Path, text: str) -> PrefectFile:
    (folder / "prefect.yaml").write_text(text)
    return load_prefect_file(folder / "prefect.yaml")


def _spoilt(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_the_files_own_anchors_are_resolved(tmp_path: Path, text: str) -> None:
    """What deployments share is written once and stands in each."""
    found = {deployment.flow: deployment for deployment in _load(tmp_path, text).deployments}
    assert found["ingest"].work_pool.job_variables["env"]["PREFECT_FLOWS_DEFAULT_RETRIES"] == "1"
    assert found["ingest"].work_pool.job_variables["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert "PREFECT_FLOWS_DEFAULT_RETRIES" not in found["retrain"].work_pool.job_variables["env"]
    assert "definitions" not in _load(tmp_path, text).to_document()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("        expect:", "        expects:", r"deployments\.2\.triggers\.0\.expects: unknown key"),
        ("    tags: [", "    tag: [", r"deployments\.0\.tag: unknown key"),
        ("collision_strategy: ENQUEUE", "collision_strategy: QUEUE", "'ENQUEUE' or 'CANCEL_NEW'"),
        ("expect: [perennial.drift.detected]", "expect: []", "at least 1 item"),
        ("name: perennial\n", "name: perennial\nretries: 3\n", "retries: unknown key"),
        ('PREFECT_CLIENT_MAX_RETRIES: "7"', "PREFECT_CLIENT_MAX_RETRIES: 7", "put quotes around"),
        ("flows/ingest.py:ingest", "flows.ingest", "pattern"),
        ("entrypoint: flows/train.py:train", "entrypoint: flows/ingest.py:ingest", "described twice: ingest/"),
        ("steps.git_clone:\n", "steps.git_clone: {}\n    other.step:\n", "expected one step"),
    ],
)
def test_what_prefect_would_pass_over_is_refused(tmp_path: Path, text: str, old: str, new: str, told: str) -> None:
    """Unknown keys and values are errors that name their place."""
    with pytest.raises(ConfigError, match=told):
        _load(tmp_path, _spoilt(text, old, new))


def test_an_error_names_its_line(tmp_path: Path, text: str) -> None:
    """The line is that of the key in the file as it was written."""
    spoilt = _spoilt(text, "expect: [perennial.drift", "expects: [perennial.drift")
    line = spoilt.splitlines().index("        expects: [perennial.drift.detected]") + 1
    with pytest.raises(ConfigError, match=f"line {line}, deployments.3.triggers.0.expects: unknown key"):
        _load(tmp_path, spoilt)


@pytest.mark.parametrize("text", ["deployments: [", "", "- 1", "a: 1\na: 2\n"])
def test_other_content_is_refused(tmp_path: Path, text: str) -> None:
    """Broken YAML, an empty file, a list and a key that stands twice are no prefect.yaml."""
    with pytest.raises(ConfigError, match=r"prefect\.yaml"):
        _load(tmp_path, text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """The message says where to take one from."""
    with pytest.raises(ConfigError, match="there is no"):
        load_prefect_file(tmp_path / "prefect.yaml")
