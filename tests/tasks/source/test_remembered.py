"""Rows that depend on nothing but the model file, the code and the libraries are known by their fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.schema import ModelConfig
from config.settings import Settings
from tasks.source import remembered
from tasks.source.remembered import KEPT, remember_rows, remembered_rows
from tests.factories import credit_config, make_project


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return an empty project."""
    return make_project(tmp_path)


def simulated(**source: Any) -> ModelConfig:
    """Model file with a simulated source."""
    content = credit_config().model_dump(mode="json", exclude_none=True)
    return ModelConfig.model_validate({**content, "source": {"kind": "simulated", **source}})


def test_the_same_source_is_known_again(settings: Settings) -> None:
    """Another number of months, seed or column type is another source."""
    remember_rows(simulated(months=3), settings, "f" * 32)
    assert remembered_rows(simulated(months=3), settings) == "f" * 32
    assert remembered_rows(simulated(months=4), settings) is None
    assert remembered_rows(simulated(months=3, seed=8), settings) is None
    other = simulated(months=3).model_dump(mode="json", exclude_none=True)
    other["features"] = {"numeric": ["income"], "categorical": ["region", "age"], "boolean": ["owner"]}
    assert remembered_rows(ModelConfig.model_validate(other), settings) is None


def test_other_code_or_libraries_give_other_rows(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed source of ours and another release of a library are not what the rows were read by."""
    remember_rows(simulated(), settings, "f" * 32)
    with monkeypatch.context() as patch:
        patch.setattr(remembered, "version", lambda _: "0")
        assert remembered_rows(simulated(), settings) is None
    monkeypatch.setattr(remembered, "_CODE", ("core/data",))
    assert remembered_rows(simulated(), settings) is None


def test_nothing_is_remembered_of_rows_that_may_change(settings: Settings) -> None:
    """Files have hashes of their own, and a query may give other rows tomorrow."""
    remember_rows(credit_config(), settings, "f" * 32)
    assert remembered_rows(credit_config(), settings) is None
    assert not (settings.var / "sources").exists()


def test_the_newest_are_kept_and_a_damaged_file_is_none(settings: Settings) -> None:
    """The file does not grow, and what cannot be read is read from the source again."""
    for months in range(1, KEPT + 3):
        remember_rows(simulated(months=months), settings, str(months))
    assert remembered_rows(simulated(months=2), settings) is None
    assert remembered_rows(simulated(months=3), settings) == "3"
    (settings.var / "sources" / "credit.json").write_text("[1")
    assert remembered_rows(simulated(months=3), settings) is None
    remember_rows(simulated(months=3), settings, "3")
    assert remembered_rows(simulated(months=3), settings) == "3"
