"""Copies of bundles on this machine: used without a registry, verified at each use."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.errors import BundleError
from store.database import open_database
from store.registry.registrations import find_version
from tasks.registry import kept as module
from tasks.registry.kept import kept_bundle
from tests.factories import add_credit_model, credit_config, make_project
from tests.tasks.judging import LINEAR, add_data, register_version

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """Return a project with one version, and the hash of its manifest."""
    settings = make_project(tmp_path_factory.mktemp("kept"))
    add_credit_model(settings)
    config = credit_config(training=LINEAR)
    register_version(settings, config, add_data(settings, config))
    record = find_version(open_database(settings.database_url), "credit", 1)
    assert record is not None
    return settings, record.manifest


def _names(registered: tuple[Settings, str]) -> set[str]:
    settings, manifest = registered
    with kept_bundle("credit", 1, manifest, settings) as folder:
        return {path.name for path in folder.iterdir()}


def _no_registry(*_: Any) -> None:
    raise AssertionError("the registry was asked")


def test_a_copy_is_used_without_the_registry(registered: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched once; each use marks it, so that retention keeps it."""
    settings, manifest = registered
    names = _names(registered)
    place = settings.var / "serving" / "bundles" / "credit" / manifest
    os.utime(place, (0, 0))
    monkeypatch.setattr(module, "fetched", _no_registry)
    assert _names(registered) == names >= {"manifest.json", "profile.json"}
    assert time.time() - place.stat().st_mtime < 60


@pytest.mark.parametrize("damage", ["changed", "missing", "strange", "link", "no manifest"])
def test_a_copy_that_is_not_what_was_registered_is_replaced(registered: tuple[Settings, str], damage: str) -> None:
    """Whatever happened to its files: it is fetched again, and never read."""
    settings, manifest = registered
    names = _names(registered)
    place = settings.var / "serving" / "bundles" / "credit" / manifest
    path = place / "profile.json"
    sound = path.read_bytes()
    if damage == "changed":
        path.write_bytes(sound.replace(b"1", b"2", 1))
    elif damage == "missing":
        path.unlink()
    elif damage == "strange":
        (place / "more.json").write_bytes(b"{}")
    elif damage == "link":
        path.rename(settings.var / "aside")
        path.symlink_to(settings.var / "aside")
    else:
        (place / "manifest.json").unlink()
    assert _names(registered) == names
    assert (path.read_bytes(), path.is_symlink()) == (sound, False)


def test_another_bundle_than_the_recorded_one_is_refused(registered: tuple[Settings, str]) -> None:
    """Nothing is kept under a hash that the registry's record does not name."""
    settings, _ = registered
    with pytest.raises(BundleError, match="recorded with another bundle"), kept_bundle("credit", 1, "0" * 64, settings):
        pass


def test_a_bundle_that_could_not_be_used_is_not_kept(registered: tuple[Settings, str]) -> None:
    """The service would take the copy for one that loads."""
    settings, manifest = registered
    place = settings.var / "serving" / "bundles" / "credit" / manifest
    shutil.rmtree(place, ignore_errors=True)
    with pytest.raises(BundleError, match="does not load"), kept_bundle("credit", 1, manifest, settings):
        raise BundleError("it does not load")
    assert not place.exists()


def test_where_no_copy_can_be_kept_the_fetched_one_is_used(
    registered: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of another user, or a full disk, holds no run up."""
    settings, manifest = registered
    names = _names(registered)
    place = settings.var / "serving" / "bundles" / "credit" / manifest
    (place / "profile.json").unlink()

    def refused(_: Path, __: Path) -> Path:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "replace", refused)
    assert _names(registered) == names
