from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import ConfigError, StorageError
from store.database import open_database
from tasks.versions.dvc_stores import DvcStores, configured_remote, open_stores, place, without_credentials
from tests.factories import make_project


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project with a folder as remote."""
    return make_project(tmp_path)


@pytest.fixture
def stores(project: Settings) -> DvcStores:
    """Open the stores of that project."""
    return open_stores(project, open_database(project.database_url))


def _file(folder: Path, content: bytes) -> tuple[str, Path]:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = folder / f"{md5}.bin"
    path.write_bytes(content)
    return md5, path


def test_what_is_pushed_comes_back_after_the_cache_is_lost(stores: DvcStores, tmp_path: Path) -> None:
    """A file and the tree that names it survive on the remote alone."""
    md5, path = _file(tmp_path, b"rows")
    stores.add({md5: path})
    version = stores.add_tree({"credit/0001.parquet": md5})
    stores.push({md5: stores.cached(md5)})
    stores.push({version: stores.cached(version)})
    for one in (md5, version):
        stores.cached(one).unlink()
    assert stores.tree(version) == {"credit/0001.parquet": md5}
    assert stores.fetch([md5]) == set()
    assert stores.cached(md5).read_bytes() == b"rows"


def test_an_object_that_is_nowhere_is_named(stores: DvcStores, tmp_path: Path) -> None:
    """Fetching returns what neither the cache nor the remote holds."""
    md5, path = _file(tmp_path, b"rows")
    stores.add({md5: path})
    missing = "0" * 32
    assert stores.fetch([md5, missing]) == {missing}
    assert stores.has([md5, missing]) == {md5}


def test_a_damaged_tree_is_replaced_from_the_remote(stores: DvcStores) -> None:
    """A tree in the cache whose bytes do not fit its name is not read."""
    version = stores.add_tree({"credit/0001.parquet": "a" * 32})
    stores.push({version: stores.cached(version)})
    stores.cached(version).chmod(0o644)
    stores.cached(version).write_bytes(b"[]")
    assert stores.tree(version) == {"credit/0001.parquet": "a" * 32}


def test_an_object_of_another_size_is_replaced(stores: DvcStores, tmp_path: Path) -> None:
    """A truncated object in the cache, left by a full disk, is written again."""
    md5, path = _file(tmp_path, b"all rows")
    stores.add({md5: path})
    stores.cached(md5).chmod(0o644)
    stores.cached(md5).write_bytes(b"all")
    stores.add({md5: path})
    assert stores.cached(md5).read_bytes() == b"all rows"


def test_versions_are_found_by_their_beginning(stores: DvcStores) -> None:
    """Two hex digits of a tree's hash find it in the cache and on the remote; files are not versions."""
    version = stores.add_tree({"credit/0001.parquet": "a" * 32})
    stores.push({version: stores.cached(version)})
    stores.cached(version).unlink()
    assert stores.versions_starting_with(version[:6]) == {version}
    assert stores.versions_starting_with("ff" if version[:2] != "ff" else "ee") == set()


def test_a_lost_remote_folder_is_not_made_again(project: Settings, tmp_path: Path) -> None:
    """A remote on a disk that is not mounted stops the push, with the folder's name."""
    away = project.model_copy(update={"data_remote": str(tmp_path / "disk" / "store")})
    stores = open_stores(away, open_database(away.database_url))
    md5, path = _file(tmp_path, b"rows")
    with pytest.raises(StorageError, match=r"is missing: there is no folder .*disk/store"):
        stores.push({md5: path})
    assert not (tmp_path / "disk").exists()


def test_a_project_without_dvc_says_what_to_do(project: Settings) -> None:
    """No configuration is an error of the project, with the command that mends it."""
    (project.root / ".dvc" / "config").unlink()
    with pytest.raises(ConfigError, match="dvc init"):
        open_stores(project, open_database(project.database_url))


def test_the_configured_remote_is_read_without_dvc(project: Settings) -> None:
    """Its name and absolute folder come from the project's files; the environment's address replaces them."""
    found = configured_remote(project)
    assert found is not None
    assert (found.name, found.folder) == ("local", project.root / "var" / "dvc-remote")
    other = configured_remote(project.model_copy(update={"data_remote": "s3://bucket/rows"}))
    assert other is not None
    assert (other.name, other.url, other.folder) == ("perennial", "s3://bucket/rows", None)


@pytest.mark.parametrize("link", [True, False])
def test_a_placed_file_is_read_only_and_whole(tmp_path: Path, link: bool) -> None:
    """A link or a copy takes the place of what stood there; nothing temporary stays."""
    source, target = tmp_path / "object", tmp_path / "out" / "0001.parquet"
    target.parent.mkdir()
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    place(source, target, link=link)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert [path.name for path in target.parent.iterdir()] == ["0001.parquet"]
    assert target.samefile(source) is link


def test_addresses_are_shown_without_credentials() -> None:
    """User and password of an address stay out of messages and the database."""
    assert without_credentials("ssh://ann:secret@host/rows") == "ssh://host/rows"
    assert without_credentials("s3://bucket/a@b") == "s3://bucket/a@b"
