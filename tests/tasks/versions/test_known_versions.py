"""Which data version people mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from config.settings import Settings
from core.errors import DataVersionError
from store.data import record_version
from store.database import open_database
from tasks.versions.dvc_stores import open_stores
from tasks.versions.known_versions import latest_version, resolved_version, version_files

AT = datetime(2026, 1, 2, tzinfo=UTC)
OLD, NEW, THEIRS = "abcdef0" + "0" * 25, "abcdef1" + "0" * 25, "fedcba" + "0" * 26


@pytest.fixture
def engine(project: Settings) -> Engine:
    """Return a database that knows two versions of credit and one of another model."""
    engine = open_database(project.database_url)
    for number, (model, digits) in enumerate((("credit", NEW), ("credit", OLD), ("churn", THEIRS))):
        facts = {"n_rows": 1, "n_batches": 1, "size_bytes": 1, "git_commit": "", "created_at": AT - timedelta(number)}
        record_version(engine, {"model": model, "version": f"{digits}.dir", **facts}, [], "/remote", AT)
    return engine


@pytest.mark.parametrize("text", ["abcdef0", " ABCDEF0 ", OLD, f"{OLD}.dir", "abcdef0000"])
def test_a_version_is_called_by_its_first_digits(project: Settings, engine: Engine, text: str) -> None:
    """In any case of letters, with or without its ending."""
    assert resolved_version("credit", text, project, engine) == f"{OLD}.dir"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abcdef", r"'abcdef' matches abcdef00+\.dir, abcdef10+\.dir; give more digits"),
        ("abcde", "'abcde' is no data version: expected 32 hex digits or the first 6 or more of them"),
        ("../../x", "known here, newest last: abcdef00+, abcdef10+"),
        ("fedcba", "no data version of 'credit' starts with 'fedcba'"),
    ],
)
def test_what_names_no_single_version_is_refused(project: Settings, engine: Engine, text: str, says: str) -> None:
    """With those that are known, and never another model's."""
    with pytest.raises(DataVersionError, match=says):
        resolved_version("credit", text, project, engine)


def test_a_whole_name_need_not_be_known_here(project: Settings, engine: Engine) -> None:
    """A clone may bring it back from the remote; whether it is there is seen then."""
    assert resolved_version("credit", "1" * 32, project, engine) == "1" * 32 + ".dir"


def test_the_newest_version_is_the_last_recorded(project: Settings, engine: Engine) -> None:
    """By its moment and not by its digits; a model without data has none."""
    stores = open_stores(project, engine)
    assert latest_version("credit", project, engine, stores) == f"{NEW}.dir"
    assert latest_version("nothing", project, engine, stores) is None


def test_files_of_another_model_or_of_none_are_refused(project: Settings, engine: Engine) -> None:
    """A hash names the data of the models that had it."""
    stores = open_stores(project, engine)
    with pytest.raises(DataVersionError, match="belongs to the model 'churn', not to 'credit'"):
        version_files("credit", f"{THEIRS}.dir", project, engine, stores)
    with pytest.raises(DataVersionError, match=r"neither DVC's cache nor the remote 'local' has data version 1+\.dir"):
        version_files("credit", "1" * 32 + ".dir", project, engine, stores)
