"""Hashes of the code and of the pinned libraries that determine a model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from config.schema import ModelConfig
from config.settings import PACKAGES

# Where this package was installed, which need not be the user's project.
INSTALLED = PACKAGES

# Packages that determine a model. `flows` and `cli` only call them; `store` records the results.
DECIDING = ("config", "core", "serving", "tasks")

# Sources, and the templates that a bundle's card is rendered from.
SUFFIXES = (".py", ".j2", ".css")

# Folders and files of those packages on which neither a model nor a file of its bundle depends, grouped by the reason.
# Everything else counts: a new folder makes every model train again until it is listed here.
LEFT_OUT = {
    "before a data version, which covers the rows": (
        "core/data/delimited.py",
        "core/data/simulate.py",
        "tasks/source",
        "tasks/validation/expectations.py",
        "tasks/validation/pushdown.py",
        "tasks/validation/quarantine.py",
        "tasks/validation/staging.py",
        "tasks/validation/validate.py",
        "tasks/validation/wording.py",
    ),
    "before a model file, which the configuration's hash covers": (
        "core/init",
        "tasks/init",
    ),
    "after a version is registered: the gate, the champion, the prediction service": (
        "core/erasure",
        "core/gate",
        "core/prediction_ids.py",
        "core/release",
        "core/row_limits.py",
        "core/score",
        "serving/access",
        "serving/http",
        "serving/ids.py",
        "serving/instance",
        "serving/model",
        "serving/problems.py",
        "serving/processes",
        "serving/rehearsal",
        "serving/release",
        "serving/telemetry",
        "serving/webhooks",
        "tasks/champions",
        "tasks/erasure",
        "tasks/gate",
        "tasks/registry/bundle_files.py",
        "tasks/registry/contents.py",
        "tasks/registry/fetch.py",
        "tasks/registry/mlflow_database.py",
        "tasks/registry/tables.py",
        "tasks/registry/versions.py",
        "tasks/release",
        "tasks/score",
        "tasks/serving/bring_bundle.py",
        "tasks/serving/keys.py",
        "tasks/serving/test_delivery.py",
    ),
    "after a version serves: drift and performance (the profile of the training rows is in the bundle and counts)": (
        "core/drift/bottom_k.py",
        "core/drift/columns.py",
        "core/drift/counts.py",
        "core/drift/decision.py",
        "core/drift/divergence.py",
        "core/drift/monitored_window.py",
        "core/drift/psi_null.py",
        "core/drift/reasons.py",
        "core/drift/times.py",
        "core/drift/verdict.py",
        "core/drift/windows.py",
        "core/performance/clusters.py",
        "core/performance/estimated.py",
        "core/performance/label_check.py",
        "core/performance/loss.py",
        "core/performance/loss_model.py",
        "core/performance/prediction_bias.py",
        "core/performance/sampling.py",
        "core/performance/support.py",
        "core/served",
        "tasks/monitor",
        "tasks/registry/kept.py",
        "tasks/served",
        "tasks/versions/record_batches.py",
    ),
    "pages that are not in the bundle (the model card is in it and counts)": (
        "tasks/reports/drawing.py",
        "tasks/reports/drift.py",
        "tasks/reports/drift_page.py",
        "tasks/reports/evidently.py",
        "tasks/reports/gate.py",
        "tasks/reports/gate_figure.py",
        "tasks/reports/release_figure.py",
        "tasks/reports/templates/drift.html.j2",
        "tasks/reports/templates/gate.html.j2",
        "tasks/reports/templates/gate.md.j2",
        "tasks/reports/templates/validation.html.j2",
        "tasks/reports/validation.py",
        "tasks/train/drift_report.py",
    ),
    "around a run: its start, its place and its notifications": (
        "config/home.py",
        "config/platform.py",
        "config/private_file.py",
        "config/prefect_file.py",
        "config/proxies.py",
        "core/operate",
        "core/retention",
        "tasks/operate",
        "tasks/outcomes.py",
        "tasks/platform",
        "tasks/prune",
        "tasks/registry/server.py",
        "tasks/runs",
        "tasks/warm",
    ),
}
_LEFT_OUT = frozenset(name for names in LEFT_OUT.values() for name in names)


def code_version(root: Path, config: ModelConfig) -> str:
    """Return the hash of the sources that determine a model (64 hex digits).

    These are our own packages except :data:`LEFT_OUT` and, if the estimator is defined inside the project, its whole
    top-level module or package, because an estimator may import other modules of it. Libraries are covered by
    :func:`lock_hash`.
    """
    digest = hashlib.sha256()
    for name, path in sorted([*_own_sources(), *_estimator_sources(root, config.training.import_paths)]):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def lock_hash(root: Path) -> str:
    """Return the hash of the project's ``requirements.lock`` (64 hex digits); empty if there is none."""
    path = root / "requirements.lock"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def decides(name: str) -> bool:
    """Whether a file of our packages counts, by its path below the folder of the packages.

    Examples
    --------
    >>> decides("core/train/fitting.py"), decides("core/gate/decision.py"), decides("config/platform.py")
    (True, False, False)
    """
    ends = [place for place, letter in enumerate(name) if letter == "/"]
    return not any(name[:end] in _LEFT_OUT for end in (*ends, None))


def _own_sources() -> Iterator[tuple[str, Path]]:
    folders = list(DECIDING)
    while folders:
        folder = folders.pop()
        for entry in os.scandir(INSTALLED / folder) if (INSTALLED / folder).is_dir() else ():
            name = f"{folder}/{entry.name}"
            if not decides(name):
                continue  # a folder that is left out is not listed either
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
            elif entry.name.endswith(SUFFIXES):
                yield f"perennial/{name}", Path(entry.path)


def _estimator_sources(root: Path, estimators: Iterable[str]) -> Iterator[tuple[str, Path]]:
    # By path, not by import: hashing must not run the user's code.
    for top in sorted({estimator.split(".", maxsplit=1)[0] for estimator in estimators}):
        if (root / top).resolve().parent == INSTALLED and top in DECIDING:
            continue
        for path in (*root.glob(f"{top}.py"), *(root / top).rglob("*.py")):
            yield f"project/{path.relative_to(root).as_posix()}", path
