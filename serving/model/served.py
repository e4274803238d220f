"""A served model: everything that a request needs, built once when the bundle is loaded."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import BundleError
from core.feature_contract import FeatureContract
from core.references import Variant
from core.release.bins import bin_names, class_bin, score_bin
from serving.bundle.reader import (
    GRAPH,
    Manifest,
    Runtime,
    load_contract,
    load_graph,
    load_graph_facts,
    read_document,
    verified,
)
from serving.model.free_memory import return_free_memory
from serving.model.invalid import Locate, in_rows
from serving.model.residents import memory_of
from serving.model.rows import Column, RowReader
from serving.problems import FieldError, Problem

EXAMPLE = "input_example.json"
PROFILE = "profile.json"
MAX_INLINE_ROWS = 200
"""Most rows that a graph computes on the event loop: a thread would cost more, and other requests wait only 1 ms."""

MAX_CLASSES = 10_000
MAX_EDGES = 1_000
"""Bounds, because each class and each edge is a time series in every worker's metrics."""

Answers = Callable[[list[Column]], npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A loaded bundle that answers requests.

    Parameters
    ----------
    name, version, variant
        Identify the version in answers, log and metrics.
    manifest, contract
        Manifest and feature contract of its bundle.
    kind
        Runtime that computes the answers: ``onnx`` or ``skops``.
    reader
        Parser of the requests' rows.
    edges
        Edges of the bins in the metric of predictions: deciles of the reference's predictions.
    examples
        Example rows, in the form of a request.
    profile
        Distribution of the training rows, see :mod:`core.drift.profile`; empty if the bundle has none.
    size
        Estimated bytes of its graph or pipeline in memory.
    """

    name: str
    version: int
    variant: Variant
    manifest: Manifest
    contract: FeatureContract
    kind: Runtime
    reader: RowReader
    edges: tuple[float, ...]
    examples: tuple[dict[str, Any], ...]
    profile: dict[str, Any] = field(repr=False)
    size: int
    _answers: Answers = field(repr=False)
    _queue: Batcher | None = field(repr=False)

    async def answer(self, values: Sequence[tuple[Any, ...]], locate: Locate = in_rows) -> list[Any]:
        """Compute the answers to rows: lists of probabilities in the order of the contract's classes, or numbers.

        Parameters
        ----------
        values
            Of each row, in the order of the contract's columns.
        locate
            Places of the values in the body.

        Raises
        ------
        Problem
            A text states no date or no number, the model fails, or its answer to a row is not finite.
        """
        n = len(values)
        if n <= self.max_inline_rows:
            return self.answer_inline(values, locate)
        columns = self.reader.columns(values, locate)
        try:
            if self._queue is not None:
                found = await self._queue.answer(n, columns)
            else:
                found = await asyncio.to_thread(self._answers, columns)
        except BundleError as error:
            raise Problem("model-failed", str(error)) from error
        return self._checked(n, found, locate)

    @property
    def max_inline_rows(self) -> int:
        """Most rows that :meth:`answer_inline` may be given; 0 if it is too slow for the event loop."""
        return MAX_INLINE_ROWS if self._queue is None else 0

    def answer_inline(self, values: Sequence[tuple[Any, ...]], locate: Locate = in_rows) -> list[Any]:
        """Compute the answers to a few rows on this thread, see :meth:`answer`.

        Raises
        ------
        Problem
            See :meth:`answer`.
        """
        n = len(values)
        # The graph computes a single row twice, and values are copied faster than columns.
        columns = self.reader.columns(values if n > 1 else [*values, *values], locate)
        try:
            found = self._answers(columns)[:n]
        except BundleError as error:
            raise Problem("model-failed", str(error)) from error
        return self._checked(n, found, locate)

    def compute(self, columns: list[Column]) -> npt.NDArray[Any]:
        """Compute the answers to prepared columns on this thread; they are not checked.

        Parameters
        ----------
        columns
            Each of shape (n, 1), float32 or object (str), in the order of the contract's prepared columns.

        Returns
        -------
        numpy.ndarray
            Shape (n, k) for k classes; (n, 1) or (n,) for regression.

        Raises
        ------
        BundleError
            The model fails.
        """
        return self._answers(columns)

    def unloaded(self) -> ServedModel:
        """Return the model without its graph or pipeline: it can be described, but gives no answers."""
        return replace(self, _answers=_no_answers, _queue=None)

    def _checked(self, n: int, found: npt.NDArray[Any], locate: Locate) -> list[Any]:
        if not np.isfinite(found).all():
            raise _not_finite(found.reshape(n, -1), locate)
        shape = (n, len(self.contract.classes)) if self.contract.classes else (n,)
        answers: list[Any] = found.reshape(shape).tolist()
        return answers

    def bin_of(self, answer: Any) -> int:
        """Bin of an answer's score: the positive class's probability, the number, or the most likely class's index."""
        if len(self.contract.classes) > 2:
            return class_bin(answer)
        return score_bin(answer[1] if self.contract.classes else answer, self.edges)

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins, in order: their upper edges, or the classes."""
        return bin_names(self.contract.classes, self.edges)


class Batcher:
    """Answers waiting requests together in one call on a thread, for models with a high cost per call.

    While a call runs, new requests are collected. A request never waits for others to arrive.

    Parameters
    ----------
    answers
        Function from columns to answers.
    max_rows
        Most rows in one call, unless a single request has more.
    """

    def __init__(self, answers: Answers, max_rows: int = 1000) -> None:
        self._answers = answers
        self._max_rows = max_rows
        self._waiting: list[tuple[int, list[Column], asyncio.Future[npt.NDArray[Any]]]] = []
        self._running: asyncio.Task[None] | None = None

    async def answer(self, n: int, columns: list[Column]) -> npt.NDArray[Any]:
        """Compute the answers to n rows, together with other requests."""
        future: asyncio.Future[npt.NDArray[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((n, columns, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while taken := self._take():
                columns = [np.concatenate(parts) for parts in zip(*(part[1] for part in taken), strict=True)]
                # Every exception goes to the waiting requests: otherwise they would wait for ever.
                call = asyncio.to_thread(self._answers, columns)
                found = (await asyncio.gather(call, return_exceptions=True))[0]
                _settle(taken, found)
        finally:
            self._running = None

    def _take(self) -> list[tuple[int, list[Column], asyncio.Future[npt.NDArray[Any]]]]:
        # Cancelled requests are dropped.
        self._waiting = [part for part in self._waiting if not part[2].done()]
        total, count = 0, 0
        for n, _, _ in self._waiting:
            if count and total + n > self._max_rows:
                break
            total, count = total + n, count + 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def _not_finite(found: npt.NDArray[Any], locate: Locate) -> Problem:
    place = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
    detail = f"the model's answer to row {place} is not finite; the row's values may be too extreme"
    return Problem("invalid-request", detail, errors=(FieldError("rows", detail, locate(place, "")),))


def _settle(
    taken: Sequence[tuple[int, list[Column], asyncio.Future[npt.NDArray[Any]]]],
    found: npt.NDArray[Any] | BaseException,
) -> None:
    start = 0
    for n, _, future in taken:
        if future.done():
            pass
        elif isinstance(found, BaseException):
            future.set_exception(found)
        else:
            future.set_result(found[start : start + n])
        start += n


def load_model(
    folder: Path,
    manifest_sha256: str,
    trusted: Sequence[str],
    *,
    name: str,
    version: int,
    variant: Variant = "champion",
    max_rows: int = 1000,
) -> ServedModel:
    """Verify a bundle in a private folder, load its graph or pipeline, and compute its own examples once.

    Raises
    ------
    BundleError
        It is not what was registered, belongs to another model, or does not answer its examples.
    """
    manifest = _manifest_of(folder, manifest_sha256, name)
    contract = load_contract(folder)
    # A file that is not what its contract says is refused before anything is built for the contract's columns.
    is_graph = GRAPH in manifest.by_path
    answers = load_graph(folder, contract).answer if is_graph else _pipeline_answers(folder, contract, trusted)
    described = _described(folder, manifest, contract, version=version, variant=variant, max_rows=max_rows)
    model = replace(described, _answers=answers, _queue=None if is_graph else Batcher(answers))
    _warm_up(model)
    return_free_memory()
    return model


def describe_model(
    folder: Path,
    manifest_sha256: str,
    *,
    name: str,
    version: int,
    variant: Variant = "champion",
    max_rows: int = 1000,
) -> ServedModel:
    """Verify a bundle in a private folder, and return its model without graph or pipeline.

    Raises
    ------
    BundleError
        It is not what was registered, or belongs to another model.
    """
    manifest = _manifest_of(folder, manifest_sha256, name)
    contract = load_contract(folder)
    if GRAPH in manifest.by_path:
        load_graph_facts(folder, contract)
    return _described(folder, manifest, contract, version=version, variant=variant, max_rows=max_rows)


def _manifest_of(folder: Path, manifest_sha256: str, name: str) -> Manifest:
    manifest = verified(folder, manifest_sha256)
    if manifest.model != name:
        raise BundleError(f"expected a bundle of {name!r} in {folder}, found one of {manifest.model!r}")
    return manifest


def _described(
    folder: Path, manifest: Manifest, contract: FeatureContract, *, version: int, variant: Variant, max_rows: int
) -> ServedModel:
    profile = _json(folder, PROFILE) if PROFILE in manifest.by_path else {}
    return ServedModel(
        name=manifest.model,
        version=version,
        variant=variant,
        manifest=manifest,
        contract=contract,
        kind="onnx" if GRAPH in manifest.by_path else "skops",
        reader=_reader(contract, max_rows),
        edges=_edges(profile),
        examples=_examples(folder, manifest),
        profile=profile,
        size=memory_of(manifest),
        _answers=_no_answers,
        _queue=None,
    )


def _no_answers(_columns: list[Column]) -> npt.NDArray[Any]:
    raise BundleError("the model is not loaded")


def _pipeline_answers(folder: Path, contract: FeatureContract, trusted: Sequence[str]) -> Answers:
    # pandas and scikit-learn are imported only by workers that serve such a model.
    import pandas as pd

    from serving.bundle.predictor import load_pipeline_of, prepared_answers

    answers = prepared_answers(load_pipeline_of(folder, contract, trusted), contract)
    names = contract.prepared_columns
    return lambda columns: answers(
        pd.DataFrame({name: column[:, 0] for name, column in zip(names, columns, strict=True)})
    )


def _reader(contract: FeatureContract, max_rows: int) -> RowReader:
    if len(contract.classes) > MAX_CLASSES:
        raise BundleError(
            f"expected at most {MAX_CLASSES:,} classes, found {len(contract.classes):,} in the contract; "
            "merge rare classes and train again"
        )
    try:
        return RowReader(contract, max_rows)
    except (TypeError, ValueError) as error:
        raise BundleError(f"the bundle's contract is not usable for requests: {error}; train again") from error


def _warm_up(model: ServedModel) -> None:
    try:
        rows = model.reader.read(json.dumps({"rows": list(model.examples)}).encode())
        columns = model.reader.columns(rows.values)
    except Problem as problem:
        raise BundleError(
            f"the bundle's own example does not match its contract: {problem.detail}; train again"
        ) from None
    found = model._answers(columns)
    if found.size != rows.n * (len(model.contract.classes) or 1) or not np.isfinite(found).all():
        raise BundleError(
            f"{model.name} version {model.version} gives no usable answer to its own example; train again"
        )


def _examples(folder: Path, manifest: Manifest) -> tuple[dict[str, Any], ...]:
    if EXAMPLE not in manifest.by_path:
        raise BundleError(f"the bundle has no {EXAMPLE}, which is needed to test the model; train again")
    table = _json(folder, EXAMPLE)
    try:
        return tuple(
            {name: _plain(value) for name, value in zip(table["columns"], row, strict=True)} for row in table["data"]
        )
    except (LookupError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / EXAMPLE} is not a table of rows ({error!r}); train again") from error


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _edges(profile: dict[str, Any]) -> tuple[float, ...]:
    prediction = profile.get("prediction") or {}
    edges = prediction.get("edges", ()) if isinstance(prediction, dict) else None
    # A classifier's profile has levels instead of edges.
    if isinstance(edges, list | tuple) and len(edges) <= MAX_EDGES and all(map(_is_finite, edges)):
        return tuple(edges)
    raise BundleError(f"{PROFILE} of the bundle has no usable edges of predictions; train again")


def _is_finite(edge: object) -> bool:
    try:
        return isinstance(edge, float | int) and math.isfinite(edge)
    except OverflowError:  # an integer too large for a float
        return False


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(read_document(folder, name))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{folder / name} is not JSON: {error}; train again") from error
    if not isinstance(content, dict):
        raise BundleError(f"{folder / name} is not a JSON object; train again")
    return content
