"""Which batches are a model's window, and whether two windows share rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from core.data.history import BatchEntry
from core.errors import ConfigError
from core.text import listed, readable

Status = Literal["ok", "watch", "drift", "insufficient"]
"""What a window is: like the reference, changed without need to act, drifted, or too small to be judged."""

SHOWN_BATCHES = 3
"""Batches that a sentence names."""


class Span(Protocol):
    """Rows of some batches, between two times."""

    @property
    def batches(self) -> tuple[str, ...]:
        """Names; empty where the rows come from elsewhere (the prediction log)."""

    @property
    def first_time(self) -> datetime | None:
        """Of the earliest row; None where the rows have no time."""

    @property
    def last_time(self) -> datetime | None:
        """Of the latest row."""


@dataclass(frozen=True, kw_only=True)
class EarlierWindow:
    """What is remembered of a window that was judged before.

    Parameters
    ----------
    id
        Of the decision.
    champion, against
        Version that was judged, and what the window was held against; other pairs say nothing of the present one.
    batches, first_time, last_time
        Its rows, as in :class:`Span`.
    drifted
        Whether this window by itself was a signal, persistent or not.
    status
        As decided then.
    retrain
        Whether it recommended a retraining.
    measured_at
        When it was judged, with its zone.
    """

    id: str
    champion: int
    against: str
    batches: tuple[str, ...]
    first_time: datetime | None
    last_time: datetime | None
    drifted: bool
    status: Status
    retrain: bool
    measured_at: datetime


@dataclass(frozen=True, kw_only=True)
class WindowRequest:
    """What somebody asked to be measured; nothing: the newest batches.

    Parameters
    ----------
    batches
        Names, with or without ``.parquet``; empty: all there are.
    since, until
        Rows with ``since <= time < until``; None: no bound.
    """

    batches: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether nothing was asked for."""
        return not self.batches and self.since is None and self.until is None


@dataclass(frozen=True)
class WindowChoice:
    """The batches of a window, in order, and what a person should know of the choice, as sentences."""

    batches: tuple[BatchEntry, ...]
    notes: tuple[str, ...]


def choose_batches(
    batches: Sequence[BatchEntry],
    trained: Collection[str],
    request: WindowRequest,
    window_rows: int,
    time: str | None,
    *,
    min_rows: int = 0,
) -> WindowChoice:
    """Choose the batches whose rows are the window.

    What was asked for is taken as it is, whether the champion was trained on it or not. Where nothing was asked for:
    the newest batches that the champion was not trained on, whole ones, that come nearest to ``window_rows`` rows: one
    of 999 rows will do, and need not be joined with the month before. Newest is by their latest time where all have
    one, else by their order.

    Parameters
    ----------
    batches
        All there are, in order.
    trained
        Names of the batches in the data the champion was made from; with or without ``.parquet``.
    time
        The model's time column; None where it has none.
    min_rows
        Rows below which a window says nothing: a further batch is taken, however large.

    Raises
    ------
    ConfigError
        A batch is unknown, the range of time is empty or has a zone, or the model has no time column.
    """
    _check(request, time)
    known = frozenset(_stem(name) for name in trained)
    if request.is_open:
        return _newest(batches, known, window_rows, min_rows)
    named = _named(batches, request.batches) if request.batches else tuple(batches)
    chosen = tuple(batch for batch in named if _meets(batch, request))
    return WindowChoice(chosen, (*_range_notes(named, chosen, request), *_trained_notes(chosen, known)))


def overlap(one: Span, another: Span) -> bool:
    """Whether two windows share rows: a batch and, where both have times, a moment.

    Rows of the prediction log have no batch: there times alone tell. Where neither tells, they are taken to overlap,
    since rows that are counted twice would pass for two windows that agree.
    """
    if one.batches and another.batches and not set(one.batches) & set(another.batches):
        return False
    if one.first_time is None or one.last_time is None or another.first_time is None or another.last_time is None:
        return True
    return one.first_time <= another.last_time and another.first_time <= one.last_time


def disjoint_before(window: Span, earlier: Sequence[EarlierWindow], limit: int) -> tuple[EarlierWindow, ...]:
    """Newest windows that share rows neither with the given one nor with each other, newest first.

    Newest is by the time of the rows where all have one, else by when they were judged. Windows whose rows are all
    later than the given one's are left out: somebody looks back.

    Parameters
    ----------
    earlier
        In the order they were judged.
    limit
        Windows to find at most.
    """
    found: list[EarlierWindow] = []
    for candidate in _newest_first([one for one in earlier if not _is_after(one, window)]):
        if len(found) < limit and not any(overlap(candidate, other) for other in (window, *found)):
            found.append(candidate)
    return tuple(found)


def _check(request: WindowRequest, time: str | None) -> None:
    since, until = request.since, request.until
    if since is None and until is None:
        return
    if time is None:
        raise ConfigError(
            "a range of time needs a time column, and the model file names none ('time'): name --batches instead"
        )
    if any(moment is not None and moment.tzinfo is not None for moment in (since, until)):
        raise ConfigError(
            f"the times in column {readable(time, 60)} have no zone: give --since and --until without one"
        )
    if since is not None and until is not None and since >= until:
        raise ConfigError(
            f"expected --since before --until, found {since.isoformat()} and {until.isoformat()}: the range is empty"
        )


def _named(batches: Sequence[BatchEntry], names: Iterable[str]) -> tuple[BatchEntry, ...]:
    wanted = {_stem(name): name for name in names}
    unknown = [name for stem, name in wanted.items() if stem not in {batch.name for batch in batches}]
    if unknown:
        newest = f"the newest are {_list([batch.name for batch in batches[::-1]])}" if batches else "there is none yet"
        raise ConfigError(f"expected names of batches, found {_list(unknown)}: {newest}")
    return tuple(batch for batch in batches if batch.name in wanted)


def _newest(batches: Sequence[BatchEntry], trained: frozenset[str], window_rows: int, min_rows: int) -> WindowChoice:
    fresh = [batch for batch in batches if batch.name not in trained]
    if not fresh:
        none = "no batch has come since the champion was trained" if batches else "there is no batch yet"
        return WindowChoice((), (none,))
    chosen: set[str] = set()
    n_rows = 0
    for batch in _by_age(fresh)[::-1]:
        nearer = abs(n_rows + batch.n_rows - window_rows) < abs(n_rows - window_rows)
        if chosen and n_rows >= min_rows and not nearer:
            break
        chosen.add(batch.name)
        n_rows += batch.n_rows
    short = f"the champion was trained on all but {n_rows:,} rows; drift.window_rows asks for {window_rows:,}"
    return WindowChoice(
        tuple(batch for batch in batches if batch.name in chosen),
        (short,) if n_rows < window_rows and len(chosen) == len(fresh) else (),
    )


def _by_age(batches: Sequence[BatchEntry]) -> list[BatchEntry]:
    """Batches, the newest last."""
    if any(batch.last_time is None for batch in batches):
        return list(batches)
    return sorted(batches, key=lambda batch: batch.last_time or datetime.min)


def _meets(batch: BatchEntry, request: WindowRequest) -> bool:
    """Whether rows of a batch can lie in the range; a batch without times is read, lest rows be lost."""
    after_start = request.since is None or batch.last_time is None or batch.last_time >= request.since
    return after_start and (request.until is None or batch.first_time is None or batch.first_time < request.until)


def _range_notes(named: Sequence[BatchEntry], chosen: Sequence[BatchEntry], request: WindowRequest) -> tuple[str, ...]:
    if not chosen:
        return (f"no batch has rows {_range_text(request)}" if named else "there is no batch yet",)
    left_out = [batch.name for batch in named if batch not in chosen]
    if request.batches and left_out:
        return (f"{_list(left_out)}: no rows {_range_text(request)}",)
    return ()


def _trained_notes(chosen: Sequence[BatchEntry], trained: frozenset[str]) -> tuple[str, ...]:
    known = [batch.name for batch in chosen if batch.name in trained]
    if not known:
        return ()
    verb = "is" if len(known) == 1 else "are"
    return (
        f"{len(known):,} of {len(chosen):,} batches {verb} among the data the champion was made from: {_list(known)}",
    )


def _range_text(request: WindowRequest) -> str:
    bounds = [f"from {request.since.isoformat()} on" if request.since else ""]
    bounds.append(f"before {request.until.isoformat()}" if request.until else "")
    return " and ".join(filter(None, bounds))


def _newest_first(windows: Sequence[EarlierWindow]) -> list[EarlierWindow]:
    backwards = list(windows)[::-1]
    if any(window.last_time is None for window in windows):
        return backwards
    return sorted(backwards, key=lambda window: window.last_time or datetime.min, reverse=True)


def _is_after(one: Span, another: Span) -> bool:
    if one.first_time is not None and another.last_time is not None:
        return one.first_time > another.last_time
    return bool(one.batches and another.batches) and min(map(_place, one.batches)) > max(map(_place, another.batches))


def _place(name: str) -> tuple[int, str]:
    # Names begin with a number of four digits or more: the longer is the later.
    return len(name), name


def _stem(name: str) -> str:
    return name.removesuffix(".parquet")


def _list(names: Sequence[str]) -> str:
    return listed(names, SHOWN_BATCHES)
