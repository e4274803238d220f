"""Hashes of the code and of the pinned libraries a model is made with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from config.schema import ModelConfig
from config.settings import PACKAGES

# Where this package was installed, which need not be the user's project.
INSTALLED = PACKAGES

# What decides a model. The other rooms only call these, so a new flow or command trains nothing anew.
DECIDING = (("core", "*.py"), ("tasks", "*.py"), ("config", "*.py"))


def code_version(root: Path, config: ModelConfig) -> str:
    """Hash of the sources that decide a model (64 hex digits).

    These are our own packages and, where the estimator is defined inside the project, everything in the top-level
    module or package it comes from: an estimator may import its neighbours. Libraries are told apart by
    :func:`lock_hash`.
    """
    digest = hashlib.sha256()
    for name, path in sorted([*_own_sources(), *_estimator_sources(root, config.training.estimator)]):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def lock_hash(root: Path) -> str:
    """Hash of the project's ``requirements.lock`` (64 hex digits); empty where there is none."""
    path = root / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _own_sources() -> Iterator[tuple[str, Path]]:
    for package, pattern in DECIDING:
        for path in (INSTALLED / package).rglob(pattern):
            yield f"perennial/{path.relative_to(INSTALLED).as_posix()}", path


def _estimator_sources(root: Path, estimator: str) -> Iterator[tuple[str, Path]]:
    # By path, not by import: hashing must not run the user's code.
    top = estimator.split(".", maxsplit=1)[0]
    if (root / top).resolve().parent == INSTALLED and top in {package for package, _ in DECIDING}:
        return
    for path in (*root.glob(f"{top}.py"), *(root / top).rglob("*.py")):
        yield f"project/{path.relative_to(root).as_posix()}", path
