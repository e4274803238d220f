"""Write the bundle: everything training registers as one unit, with a manifest of hashes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from core.errors import StorageError, TrainingError
from core.feature_contract import FeatureContract
from core.jsonable import jsonable
from core.references import Lineage
from core.train.trust import untrusted_message
from tasks.registry.bundle_files import file_sha256
from tasks.registry.client import import_mlflow

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

logger = logging.getLogger("perennial.bundle")

MANIFEST = "manifest.json"
EXAMPLE_ROWS = 5

STORING_ERRORS = (AttributeError, NotImplementedError, RecursionError, TypeError, ValueError)
"""What skops raises for an object that it cannot store without pickle."""

Document = Mapping[str, Any] | Sequence[Any] | str | bytes | Path
"""Content of a bundle's file: values for JSON, text, bytes, or the path of a file to copy."""


@dataclass(frozen=True)
class Bundle:
    """A folder that is registered as one unit.

    Parameters
    ----------
    folder
        Contains MLflow's model files, the documents and ``manifest.json``.
    manifest_sha256
        Hash of the manifest, which contains the hash of every other file.
    files
        Names relative to the folder, sorted, the manifest included.
    """

    folder: Path
    manifest_sha256: str
    files: tuple[str, ...] = field(repr=False)


def build_bundle(
    folder: Path,
    fitted_pipeline: Pipeline,
    contract: FeatureContract,
    example: pd.DataFrame,
    documents: Mapping[str, Document],
    trusted: Sequence[str],
    *,
    model: str,
    lineage: Lineage,
) -> Bundle:
    """Write the bundle of a fitted pipeline; a repeat replaces the folder.

    Parameters
    ----------
    folder
        Created under a temporary name and renamed when complete.
    fitted_pipeline
        Takes raw rows: its first step is ``prepare``.
    example
        Raw rows; up to 5, the most complete ones, become the input example.
    documents
        File name (``card.md``, ``plots/roc.svg``) and content; ``contract.json`` and ``lineage.json`` are added.
    trusted
        Types the stored pipeline may contain, see :func:`core.train.trust.trusted_types`.
    model, lineage
        Written into the manifest, so that a bundle cannot be exchanged for another.

    Raises
    ------
    TrainingError
        The pipeline contains types that are not trusted, or cannot be stored without pickle.
    StorageError
        The disk is full or not writable.
    """
    part = folder.with_name(f"{folder.name}.part")
    own = {"contract.json": contract.to_dict(), "lineage.json": _lineage_document(model, lineage)}
    try:
        for stale in (part, folder):
            shutil.rmtree(stale, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        _save_pipeline(part, fitted_pipeline, contract, example, trusted)
        for name, content in {**own, **documents}.items():
            _write(part, name, content)
        _write(part, MANIFEST, _manifest(part, model, lineage))
        part.replace(folder)
    except OSError as error:
        raise StorageError(
            f"the bundle cannot be written to {folder}: {error}; free disk space and run again"
        ) from error
    return _described(folder)


def _described(folder: Path) -> Bundle:
    files = tuple(_names(folder))
    size = sum((folder / name).stat().st_size for name in files)
    logger.info("bundled %d files, %.1f MB", len(files), size / 1e6)
    return Bundle(folder, file_sha256(folder / MANIFEST), files)


def _save_pipeline(
    folder: Path, pipeline: Pipeline, contract: FeatureContract, example: pd.DataFrame, trusted: Sequence[str]
) -> None:
    import_mlflow()
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    try:
        mlflow.sklearn.save_model(
            pipeline,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=list(trusted),
            signature=signature(contract),
            input_example=example_rows(example, contract),
            pip_requirements=requirements(pipeline),
            pyfunc_predict_fn="predict_proba" if contract.classes else "predict",
        )
    except MlflowException as error:
        raise _storing_error(pipeline, trusted, error) from error


def _storing_error(pipeline: Pipeline, trusted: Sequence[str], error: Exception) -> TrainingError | StorageError:
    import skops.io

    cause = error.__cause__ or error.__context__
    if isinstance(cause, OSError):
        return StorageError(f"the pipeline cannot be written: {cause}; free disk space and run again")
    if cause is not None and type(cause).__name__ == "UntrustedTypesFoundException":
        names = skops.io.get_untrusted_types(data=skops.io.dumps(pipeline))
        return TrainingError(untrusted_message(set(names) - set(trusted)))
    return not_storable(pipeline, cause)


def not_storable(pipeline: Pipeline, cause: BaseException | None) -> TrainingError:
    """Return the error of a pipeline that skops cannot store."""
    return TrainingError(
        f"the fitted {type(pipeline.steps[-1][1]).__name__} cannot be stored without pickle "
        f"({type(cause).__name__}: {cause}); the usual reason is a parameter that is a function or an object"
    )


def signature(contract: FeatureContract) -> ModelSignature:
    """Return MLflow's signature of the raw contract columns: every column is required, every value may be missing."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    kinds = {"double": contract.numeric, "string": contract.categorical, "boolean": contract.boolean}
    kinds["datetime"] = contract.dates
    columns: list[ColSpec | TensorSpec] = [ColSpec(kind, name) for kind, names in kinds.items() for name in names]
    shape = (-1, len(contract.classes)) if contract.classes else (-1,)
    return ModelSignature(inputs=Schema(columns), outputs=Schema([TensorSpec(np.dtype("float64"), shape)]))


def requirements(pipeline: Pipeline) -> list[str]:
    """Return the packages that loading the pipeline needs, pinned to the installed versions.

    MLflow's own inference starts a process that imports the model: it takes 5 s and lists packages that are not needed.
    """
    module = type(pipeline.steps[-1][1]).__module__.split(".", maxsplit=1)[0]
    owners = [] if module == "sklearn" else packages_distributions().get(module, [])
    names = ["mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops", *owners]
    return [f"{name}=={version(name)}" for name in dict.fromkeys(names)]


def example_rows(rows: pd.DataFrame, contract: FeatureContract) -> pd.DataFrame:
    """Return up to 5 raw rows, the most complete ones, in the types MLflow accepts in an input example."""
    raw = rows[list(contract.raw_columns)]
    gaps = raw.isna().sum(axis=1).to_numpy()
    some = raw.iloc[np.argsort(gaps, kind="stable")[:EXAMPLE_ROWS]]
    # MLflow accepts a boolean with missing values only as object.
    return some.astype({**dict.fromkeys(contract.numeric, "float64"), **dict.fromkeys(contract.boolean, object)})


def _lineage_document(model: str, lineage: Lineage) -> dict[str, Any]:
    return {"model": model, **{name: getattr(lineage, name) for name in lineage.__dataclass_fields__}}


def _manifest(folder: Path, model: str, lineage: Lineage) -> dict[str, Any]:
    return {
        "format": 1,
        "model": model,
        "run_key": lineage.run_key,
        "data_version": lineage.data_version,
        "files": [
            {"path": name, "sha256": file_sha256(folder / name), "size": (folder / name).stat().st_size}
            for name in _names(folder)
        ],
    }


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _write(folder: Path, name: str, content: Document) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else json.dumps(jsonable(content), indent=2, ensure_ascii=False)
        path.write_text(text, encoding="utf-8", newline="\n")
