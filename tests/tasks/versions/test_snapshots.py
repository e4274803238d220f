from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from config.settings import RetentionSettings, Settings
from core.data.version import tree_version
from core.errors import DataVersionError
from core.references import DataVersion
from tasks.versions.versions import lay_out_snapshot, restore_data, version_data, write_batch
from tasks.versions.working_copy import file_md5
from tests.factories import credit_config, make_project
from tests.tasks.versions.staging import credit_rows, rows_of, stage

CREDIT = credit_config()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def ingest(settings: Settings, folder: Path, last: int) -> DataVersion:
    """Version the first rows."""
    write_batch(stage(credit_rows(0, last), folder), CREDIT, settings)
    return version_data(CREDIT, settings)


def blob(settings: Settings, md5: str, where: str = "cache") -> Path:
    """Path of an object in DVC's cache or on the remote."""
    root = settings.root / ".dvc" / "cache" if where == "cache" else settings.var / "dvc-remote"
    return root / "files" / "md5" / md5[:2] / md5[2:]


def spoil(path: Path) -> None:
    """Flip bytes without changing size or mode, as a dying disk does."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def test_a_snapshot_is_the_version_read_only(settings: Settings, tmp_path: Path) -> None:
    """Files and folder may not be written, and hash to the version they claim to be."""
    version = ingest(settings, tmp_path, 50)
    snapshot = lay_out_snapshot("credit", version.version, settings)
    files = list(snapshot.path.glob("*.parquet"))
    assert tree_version({path.name: file_md5(path) for path in files}) == snapshot.version == version.version
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}
    assert stat.S_IMODE(snapshot.path.stat().st_mode) == 0o555
    assert (snapshot.n_rows, snapshot.n_batches) == (50, 1)


def test_edits_of_the_working_copy_never_reach_a_snapshot(settings: Settings, tmp_path: Path) -> None:
    """The user may write into, replace or delete files of ``data/`` while an older version is trained on."""
    version = ingest(settings, tmp_path, 50)
    snapshot = lay_out_snapshot("credit", version.version, settings)
    (path,) = (settings.root / "data" / "credit").glob("*.parquet")
    path.chmod(0o644)
    path.write_bytes(b"edited in place")
    path.unlink()
    assert rows_of(next(snapshot.path.glob("*.parquet"))) == credit_rows(0, 50)
    assert restore_data("credit", version.version, settings)
    assert rows_of(path) == credit_rows(0, 50)


@pytest.mark.parametrize("shorten", [slice(0, 36), slice(0, 32), slice(0, 6)])
def test_a_version_may_be_named_shortly(settings: Settings, tmp_path: Path, shorten: slice) -> None:
    """Whole, without its ending, or by its first digits."""
    version = ingest(settings, tmp_path, 50).version
    assert lay_out_snapshot("credit", version[shorten], settings).version == version


def test_a_short_name_is_found_without_the_database(settings: Settings, tmp_path: Path) -> None:
    """In a clone that knows nothing the digits are looked up in the cache, then on the remote."""
    version = ingest(settings, tmp_path, 50).version
    ingest(settings, tmp_path, 60)
    (settings.var / "perennial.db").unlink()
    assert lay_out_snapshot("credit", version[:6], settings).version == version
    (settings.var / "perennial.db").unlink()
    blob(settings, version).unlink()
    assert lay_out_snapshot("credit", version[:7], settings).n_batches == 1


def test_a_snapshot_is_used_again(settings: Settings, tmp_path: Path) -> None:
    """The second run finds it laid out, even with cache and remote gone."""
    version = ingest(settings, tmp_path, 50).version
    first = lay_out_snapshot("credit", version, settings)
    inode = first.path.stat().st_ino
    (settings.root / ".dvc" / "cache").rename(tmp_path / "cache")
    assert lay_out_snapshot("credit", version, settings) == first
    assert first.path.stat().st_ino == inode


def test_an_incomplete_snapshot_is_laid_out_again(settings: Settings, tmp_path: Path) -> None:
    """A file that went missing or changed its size is noticed, and leftovers of a killed run are removed."""
    version = ingest(settings, tmp_path, 50).version
    first = lay_out_snapshot("credit", version, settings)
    first.path.chmod(0o755)
    next(first.path.glob("*.parquet")).unlink()
    (first.path.parent / ".abc.tmp").mkdir()
    assert lay_out_snapshot("credit", version, settings) == first
    assert rows_of(next(first.path.glob("*.parquet"))) == credit_rows(0, 50)
    assert list(first.path.parent.iterdir()) == [first.path]


def test_a_damaged_cache_is_repaired_from_the_remote(settings: Settings, tmp_path: Path) -> None:
    """Flipped bits are noticed by the hash, and the object is fetched again."""
    version = ingest(settings, tmp_path, 50).version
    (path,) = (settings.root / "data" / "credit").glob("*.parquet")
    spoil(blob(settings, file_md5(path)))
    spoil(blob(settings, version))
    snapshot = lay_out_snapshot("credit", version, settings)
    assert rows_of(next(snapshot.path.glob("*.parquet"))) == credit_rows(0, 50)


def test_damage_everywhere_is_an_error(settings: Settings, tmp_path: Path) -> None:
    """With cache and remote damaged nothing is laid out, the batch is named, and nothing wrong stays cached."""
    version = ingest(settings, tmp_path, 50).version
    (path,) = (settings.root / "data" / "credit").glob("*.parquet")
    md5 = file_md5(path)
    for where in ("cache", "remote"):
        spoil(blob(settings, md5, where))
    with pytest.raises(DataVersionError, match=r"missing or damaged.*remote 'local'"):
        lay_out_snapshot("credit", version, settings)
    assert not blob(settings, md5).exists()
    assert not list((settings.var / "snapshots").rglob("*.parquet"))


@pytest.mark.parametrize("where", ["cache", "snapshot"])
def test_an_object_that_was_changed_in_place_is_noticed(settings: Settings, tmp_path: Path, where: str) -> None:
    """A snapshot is a link to DVC's cache: other bytes of the same size and time are not trained on."""
    version = ingest(settings, tmp_path, 50).version
    snapshot = lay_out_snapshot("credit", version, settings)
    (path,) = snapshot.path.glob("*.parquet")
    victim = blob(settings, file_md5(path)) if where == "cache" else path
    before = victim.stat()
    spoil(victim)
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = lay_out_snapshot("credit", version, settings)
    assert again == snapshot
    assert rows_of(path) == credit_rows(0, 50)


def test_an_object_that_was_changed_everywhere_ends_the_run(settings: Settings, tmp_path: Path) -> None:
    """Also where the snapshot was laid out before; the other versions stay usable."""
    older, newer = ingest(settings, tmp_path, 40).version, ingest(settings, tmp_path, 50).version
    lay_out_snapshot("credit", older, settings)
    snapshot = lay_out_snapshot("credit", newer, settings)
    old = {path.name for path in (settings.var / "snapshots" / "credit" / older[:32]).glob("*.parquet")}
    (path,) = (path for path in snapshot.path.glob("*.parquet") if path.name not in old)
    md5 = file_md5(path)
    for place in ("cache", "remote"):
        spoil(blob(settings, md5, place))
    with pytest.raises(DataVersionError, match=r"missing or damaged.*remote 'local'"):
        lay_out_snapshot("credit", newer, settings)
    assert lay_out_snapshot("credit", older, settings).n_rows == 40


def test_old_snapshots_are_pruned(settings: Settings, tmp_path: Path) -> None:
    """The ones used last stay; an older one comes back when it is asked for."""
    versions = [ingest(settings, tmp_path, last).version for last in range(10, 15)]
    folder = settings.var / "snapshots" / "credit"
    for age, version in enumerate(versions):
        path = lay_out_snapshot("credit", version, settings).path
        os.utime(path, (1_000_000 + age, 1_000_000 + age))
    kept = {version.removesuffix(".dir") for version in versions[-RetentionSettings().snapshots :]}
    assert {path.name for path in folder.iterdir()} == kept
    assert lay_out_snapshot("credit", versions[0], settings).n_rows == 10
