"""DVC's cache and remote as two stores of objects named by their MD5.

Only DVC's object stores are used, not its commands, which would stage files in the user's git tree, print, and
overwrite the working copy. DVC is imported only when a :class:`DvcStores` is opened.
"""

from __future__ import annotations

import configparser
import logging
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from config.home import give_user_name
from config.settings import Settings
from core.data.version import tree_bytes, tree_files, tree_version, version_prefix
from core.errors import ConfigError, StorageError
from store.data import pushed_trees
from tasks.versions.site_cache import site_cache

_log = logging.getLogger("perennial.data")

_ERRORS_OF_CLOUDS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("azure.core.exceptions", "AzureError"),
    ("google.auth.exceptions", "GoogleAuthError"),
    ("asyncssh", "Error"),
)
"""Errors of the cloud libraries that are no OSError; looked up only if a remote has loaded the library."""


@dataclass(frozen=True)
class Remote:
    """The remote in use: its name in DVC's configuration, its address without credentials, its options."""

    name: str
    address: str
    url: str
    options: Mapping[str, str]

    @property
    def folder(self) -> Path | None:
        """The folder of a local remote; None for any other."""
        return None if re.match(r"\w+://", self.url) else Path(self.url)


def configured_remote(settings: Settings) -> Remote | None:
    """Read the remote from ``.dvc/config`` and ``.dvc/config.local`` without importing DVC.

    None if these files name none (the user's or the machine's DVC configuration may).
    """
    sections = _dvc_config(settings.root / ".dvc")
    name = sections.get("core", {}).get("remote")
    options = {} if name is None else sections.get(f'remote "{name}"', {})
    if settings.data_remote:
        url = _absolute(settings.data_remote, settings.root)
        same_kind = name is not None and _scheme(options.get("url", "")) == _scheme(url)
        return _remote(str(name), {**options, "url": url}) if same_kind else _remote("perennial", {"url": url})
    return _remote(name, options) if name is not None and "url" in options else None


@dataclass(frozen=True)
class DvcStores:
    """DVC's cache and remote.

    Parameters
    ----------
    repo, cache, remote_store
        Objects of DVC; ``remote_store`` holds files by MD5.
    remote
        The remote's name and address.
    was_pushed_to
        Whether data of this project is known to have been pushed to this remote.
    """

    repo: Any
    cache: Any
    remote_store: Any
    remote: Remote
    was_pushed_to: bool = False

    @property
    def lock(self) -> Any:
        """DVC's own lock on the project: held while ``data.dvc`` is read and written."""
        return self.repo.lock

    def cached(self, md5: str) -> Path:
        """Path of an object in the cache; it need not exist."""
        return Path(self.cache.oid_to_path(md5))

    def tree(self, version: str) -> dict[str, str] | None:
        """Entries of a tree object from the cache, else from the remote; None if it is missing or damaged.

        Raises
        ------
        StorageError
            The remote does not answer.
        """
        found = self._cached_tree(version)
        if found is None:
            self.cached(version).unlink(missing_ok=True)
            self.fetch([version])
            found = self._cached_tree(version)
        return found

    def fetch(self, md5s: Iterable[str]) -> set[str]:
        """Copy objects that the cache lacks from the remote; return those that are in neither.

        Raises
        ------
        StorageError
            The remote does not answer, or the disk is full.
        """
        wanted = sorted({md5 for md5 in md5s if not self.cached(md5).exists()})
        if not wanted or not self._remote_is_there():
            return set(wanted)
        paths = [self.remote_store.oid_to_path(md5) for md5 in wanted]
        with self._remote_errors("read from"):
            self._copy(paths, self.remote_store.fs, self.cache, wanted, tolerate=FileNotFoundError)
        return {md5 for md5 in wanted if not self.cached(md5).exists()}

    def has(self, md5s: Iterable[str]) -> set[str]:
        """Objects that are in the cache or on the remote."""
        wanted = set(md5s)
        cached = {md5 for md5 in wanted if self.cached(md5).exists()}
        return cached if wanted == cached else cached | self.on_remote(wanted - cached)

    def on_remote(self, md5s: Iterable[str]) -> set[str]:
        """Objects that are on the remote."""
        with self._remote_errors("read from"):
            return set(self.remote_store.oids_exist(list(md5s))) if self._remote_is_there() else set()

    def add(self, files: Mapping[str, Path]) -> None:
        """Add files to the cache under their MD5; an object whose size differs from its file is replaced.

        Raises
        ------
        StorageError
            The disk is full.
        """
        for md5, path in files.items():
            cached = self.cached(md5)
            if cached.exists() and cached.stat().st_size != path.stat().st_size:
                cached.unlink()
        missing = [md5 for md5 in files if not self.cached(md5).exists()]
        with self._cache_errors():
            self._copy([str(files[md5]) for md5 in missing], self.repo.fs, self.cache, missing)

    def add_tree(self, files: Mapping[str, str]) -> str:
        """Add a tree object to the cache and return its version."""
        version = tree_version(files)
        if self._cached_tree(version) is None:
            target = self.cached(version)
            with self._cache_errors():
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
                temporary.write_bytes(tree_bytes(files))
                temporary.chmod(0o444)
                temporary.replace(target)
        return version

    def push(self, files: Mapping[str, Path]) -> None:
        """Copy the objects that the remote lacks to it; ``files`` maps an MD5 to the path to read.

        A tree must be pushed after its files, by a later call, so that a remote never has a tree without its files.

        Raises
        ------
        StorageError
            The remote is missing, read-only or full.
        """
        self._refuse_lost_folder()
        with self._remote_errors("write to"):
            present = set(self.remote_store.oids_exist(list(files)))
            missing = [md5 for md5 in files if md5 not in present]
            self._copy([str(files[md5]) for md5 in missing], self.repo.fs, self.remote_store, missing)

    def versions_starting_with(self, prefix: str) -> set[str]:
        """Tree objects in the cache or on the remote whose hash starts with at least two given hex digits."""
        found = set()
        with self._remote_errors("read from"):
            for store in (self.cache, self.remote_store) if self._remote_is_there() else (self.cache,):
                folder = store.fs.join(store.path, prefix[:2])
                names = store.fs.find(folder) if store.fs.exists(folder) else []
                found |= {prefix[:2] + store.fs.name(name) for name in names if name.endswith(".dir")}
        return {version for version in found if version.startswith(prefix) and version_prefix(version) is not None}

    def _cached_tree(self, version: str) -> dict[str, str] | None:
        try:
            files = tree_files(self.cached(version).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return files if tree_version(files) == version else None

    def _copy(
        self, paths: list[str], source: Any, store: Any, md5s: list[str], tolerate: type[OSError] | None = None
    ) -> None:
        failures: list[BaseException] = []
        if md5s:
            # 'verify' of DVC's configuration would read every object back from the remote. Objects are verified against
            # their hashes anyway when they are laid out or restored.
            store.add(paths, source, md5s, verify=False, on_error=lambda _md5, error: failures.append(error))
        for failure in failures:
            if tolerate is None or not isinstance(failure, tolerate):
                raise failure

    def _remote_is_there(self) -> bool:
        if self.remote.folder is None or self.remote.folder.is_dir():
            return True
        self._refuse_lost_folder()
        return False

    def _refuse_lost_folder(self) -> None:
        folder = self.remote.folder
        if folder is None or folder.is_dir():
            return
        # If the disk is not mounted, DVC would create the folder on the disk below without an error.
        if self.was_pushed_to or not folder.parent.is_dir():
            raise StorageError(
                f"the data remote {self.remote.name!r} is missing: there is no folder {folder}. Mount it again, create "
                "an empty folder there to start a new remote, or set PERENNIAL_DATA_REMOTE to another one, "
                "then run the same command again; the batches are kept in data/"
            )

    @contextmanager
    def _remote_errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except _failures() as error:
            cause = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
            raise StorageError(
                f"cannot {doing} the data remote {self.remote.name!r} at {self.remote.address}: {cause}. "
                "Check its address (.dvc/config or PERENNIAL_DATA_REMOTE), its credentials and its space, "
                "then run the same command again; the batches are kept in data/"
            ) from error

    @contextmanager
    def _cache_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"DVC's cache {self.cache.path} cannot be written: {error.strerror or error}. "
                "Free space or repair the disk, then run the same command again"
            ) from error


def open_stores(settings: Settings, engine: Engine) -> DvcStores:
    """Open DVC's cache and remote of a project. Git is neither read nor written.

    Raises
    ------
    ConfigError
        The project has no DVC configuration, it is not valid, or it names no remote.
    StorageError
        The remote cannot be opened.
    """
    if not (settings.root / ".dvc" / "config").is_file():
        raise ConfigError(
            f"{settings.root} has no .dvc/config, which data versions need; "
            "restore it from git, or run 'dvc init' and 'dvc remote add --default NAME ADDRESS' there"
        )
    from dvc.config import ConfigError as DvcConfigError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    give_user_name(os.environ)
    try:
        repo = Repo(str(settings.root), config=_overrides(settings), _wait_for_lock=True)
        remote = _remote_of(repo, settings)
        return DvcStores(
            repo=repo,
            cache=repo.cache.local,
            remote_store=repo.cloud.get_remote_odb(remote.name),
            remote=remote,
            was_pushed_to=bool(pushed_trees(engine, remote.address)),
        )
    except DvcConfigError as error:
        raise ConfigError(f"DVC's configuration under {settings.root / '.dvc'} is not valid: {error}") from error
    except ImportError as error:
        raise ConfigError(
            f"the data remote cannot be used: {error}; remotes need the extra s3, gcs, azure or ssh"
        ) from error
    except DvcException as error:
        raise StorageError(f"the data remote cannot be opened: {error}") from error


def place(source: Path, target: Path, *, link: bool) -> None:
    """Place an object of the cache at a path, read-only and atomically, as a hard link or a copy."""
    import shutil

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        if not (link and _linked(source, temporary)):
            shutil.copyfile(source, temporary)
        temporary.chmod(0o444)
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _linked(source: Path, target: Path) -> bool:
    target.unlink()
    try:
        target.hardlink_to(source)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def without_credentials(address: str) -> str:
    """Return an address without user and password."""
    return re.sub(r"(\w+://)[^/@\s]*@", r"\1", address)


def _failures() -> tuple[type[BaseException], ...]:
    from dvc.exceptions import DvcException
    from dvc_objects.errors import ObjectDBError

    found: list[type[BaseException]] = [OSError, DvcException, ObjectDBError]
    for module, name in _ERRORS_OF_CLOUDS:
        error = getattr(sys.modules.get(module), name, None)
        if isinstance(error, type) and issubclass(error, BaseException):
            found.append(error)
    return tuple(found)


def _overrides(settings: Settings) -> dict[str, Any]:
    core: dict[str, Any] = {
        "no_scm": True,
        "analytics": False,
        "site_cache_dir": str(site_cache(settings.var / "work")),
    }
    found: dict[str, Any] = {"core": core}
    remote = configured_remote(settings)
    if remote is not None and settings.data_remote:
        core["remote"] = remote.name
        found["remote"] = {remote.name: {"url": remote.url}}
    if _is_shared(settings.root / ".dvc"):
        # Otherwise DVC takes the group's bit from the folders that it creates, and only this user could add to them.
        found["cache"] = {"shared": "group"}
        if remote is not None and remote.folder is not None:
            found.setdefault("remote", {}).setdefault(remote.name, {})["shared"] = "group"
    return found


def _is_shared(folder: Path) -> bool:
    """Whether a group shares a folder: it may write, and what is created there belongs to it."""
    wanted = stat.S_ISGID | stat.S_IWGRP
    return folder.stat().st_mode & wanted == wanted


def _remote_of(repo: Any, settings: Settings) -> Remote:
    name = repo.config["core"].get("remote")
    if name is None:
        raise ConfigError(
            f"DVC has no default remote in {settings.root}; set PERENNIAL_DATA_REMOTE, "
            "or run 'dvc remote add --default NAME ADDRESS'"
        )
    options = repo.config["remote"].get(name)
    if options is None:
        raise ConfigError(
            f"DVC's default remote is {name!r}, but no remote has that name; add it with 'dvc remote add'"
        )
    return _remote(name, {key: str(value) for key, value in options.items()})


def _remote(name: str, options: Mapping[str, str]) -> Remote:
    address = without_credentials(options["url"])
    endpoint = options.get("endpointurl")
    shown = f"{address} ({without_credentials(endpoint)})" if endpoint else address
    return Remote(name=name, address=shown, url=options["url"], options=options)


def _dvc_config(folder: Path) -> dict[str, dict[str, str]]:
    sections: dict[str, dict[str, str]] = {}
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(folder / name, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            return {}
        for section in parser.sections():
            values = {key: value.strip().strip("\"'") for key, value in parser.items(section)}
            if section.strip("'").startswith("remote ") and "url" in values:
                values["url"] = _absolute(values["url"], folder)
            sections.setdefault(section.strip("'"), {}).update(values)
    return sections


def _absolute(address: str, base: Path) -> str:
    if re.match(r"\w+://", address):
        return address
    return os.path.abspath(base / Path(address).expanduser())  # noqa: PTH100 - resolve() would follow links, DVC does not


def _scheme(address: str) -> str:
    found = re.match(r"(\w+)://", address)
    return found.group(1) if found else ""
