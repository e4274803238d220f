"""The choice of the batches of a window, and whether two windows share rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from core.data.history import BatchEntry
from core.errors import ConfigError
from core.text import counted, listed, readable

Status = Literal["ok", "watch", "drift", "insufficient"]
"""Status of a window: like the reference, changed without need to act, drifted, or too small to be judged."""

SHOWN_BATCHES = 3
"""Maximum number of batches that a sentence names."""


class Span(Protocol):
    """Rows of some batches, between two times."""

    @property
    def batches(self) -> tuple[str, ...]:
        """Names of the batches; empty if the rows come from elsewhere (the prediction log)."""

    @property
    def first_time(self) -> datetime | None:
        """Time of the earliest row; None if the rows have no time."""

    @property
    def last_time(self) -> datetime | None:
        """Time of the latest row; None if the rows have no time."""


@dataclass(frozen=True, kw_only=True)
class EarlierWindow:
    """The recorded facts of a window that was judged before.

    Parameters
    ----------
    id
        Id of the decision.
    champion, against
        The champion's version, and what the window was compared with; only windows with the same pair are comparable.
    batches, first_time, last_time
        Rows of the window, as in :class:`Span`.
    drifted
        Whether this window alone was a signal, whether or not earlier windows were.
    status
        Status that was decided.
    retrain
        Whether a retraining was recommended.
    measured_at
        Time of the decision, with time zone.
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
    """The rows that were requested; by default the newest batches.

    Parameters
    ----------
    batches
        Batches by number (``2``), by name with or without ``.parquet``, or by a unique beginning of the name; empty for
        all.
    since, until
        Rows with ``since <= time < until``, without time zone; None for no bound.
    """

    batches: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether neither batches nor a range were requested."""
        return not self.batches and self.since is None and self.until is None


@dataclass(frozen=True)
class WindowChoice:
    """The batches of a window, in order, and sentences about the choice."""

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
    """Choose the batches of a window.

    Requested batches are used whether or not the champion was trained on them. Without a request, the window is the
    newest whole batches that the champion was not trained on, as many as come closest to ``window_rows`` rows. The
    newest batches are those with the latest times if all batches have times, otherwise the last in order.

    Parameters
    ----------
    batches
        All batches of the model, in order.
    trained
        Names of the batches that the champion was trained on, with or without ``.parquet``.
    request
        The requested batches and range of times.
    window_rows
        Number of rows wanted.
    time
        The model's time column; None if it has none.
    min_rows
        Minimum number of rows of a window: below it a further batch is added, whatever its size.

    Raises
    ------
    ConfigError
        A batch is unknown, the range of times is empty or has a time zone, or the model has no time column.
    """
    _check(request, time)
    known = frozenset(_stem(name) for name in trained)
    if request.is_open:
        return _newest(batches, known, window_rows, min_rows)
    named = _named(batches, request.batches) if request.batches else tuple(batches)
    chosen = tuple(batch for batch in named if _meets(batch, request))
    return WindowChoice(chosen, (*_range_notes(named, chosen, request), *_trained_notes(chosen, known)))


def batches_before(
    batches: Sequence[BatchEntry], trained: Collection[str], chosen: Sequence[BatchEntry], window_rows: int
) -> tuple[BatchEntry, ...]:
    """Return the newest batches before a window that the champion was not trained on, which may have labels by now.

    Parameters
    ----------
    batches
        All batches of the model, in order.
    trained
        Names of the batches that the champion was trained on, with or without ``.parquet``.
    chosen
        The window's batches.
    window_rows
        As many batches are returned as are needed for this number of rows.
    """
    known, own = frozenset(_stem(name) for name in trained), {batch.name for batch in chosen}
    ordered = [batch for batch in _by_age(batches) if batch.name in own or batch.name not in known]
    first = next((place for place, batch in enumerate(ordered) if batch.name in own), 0)
    found: list[BatchEntry] = []
    for batch in ordered[:first][::-1]:
        if sum(one.n_rows for one in found) >= window_rows:
            break
        found.insert(0, batch)
    return tuple(found)


def overlap(one: Span, another: Span) -> bool:
    """Return whether two windows share rows: they have a batch in common and, if both have times, their times overlap.

    Rows of the prediction log have no batch, so only times decide. If neither decides, the windows count as
    overlapping, because rows that count twice would look like two windows that agree.
    """
    if one.batches and another.batches and not set(one.batches) & set(another.batches):
        return False
    if one.first_time is None or one.last_time is None or another.first_time is None or another.last_time is None:
        return True
    return one.first_time <= another.last_time and another.first_time <= one.last_time


def disjoint_before(window: Span, earlier: Sequence[EarlierWindow], limit: int) -> tuple[EarlierWindow, ...]:
    """Return the newest windows that share rows neither with the given one nor with each other, newest first.

    Windows are ordered by the time of their rows if all have times, otherwise by when they were judged. Windows whose
    rows are all later than those of the given one are ignored: the given one may lie in the past.

    Parameters
    ----------
    window
        The window that is being judged.
    earlier
        Windows in the order they were judged.
    limit
        Maximum number of windows.
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
            "--since and --until need a time column, but the model file has no 'time'; use --batches instead"
        )
    if any(moment is not None and moment.tzinfo is not None for moment in (since, until)):
        raise ConfigError(
            f"the times in column {readable(time, 60)} have no time zone: give --since and --until without one"
        )
    if since is not None and until is not None and since >= until:
        raise ConfigError(
            f"expected --since before --until, found {since.isoformat()} and {until.isoformat()}: the range is empty"
        )


def _named(batches: Sequence[BatchEntry], names: Iterable[str]) -> tuple[BatchEntry, ...]:
    known = [batch.name for batch in batches]
    found = {name: _matches(name, known) for name in names}
    unknown = [name.strip() or "an empty name" for name, matches in found.items() if not matches]
    if unknown:
        newest = f"the newest are {_list(known[::-1])}" if batches else "there are none yet"
        raise ConfigError(
            f"--batches: expected numbers, names or beginnings of names of batches, found {_list(unknown)}; {newest}"
        )
    for name, matches in found.items():
        if len(matches) > 1:
            raise ConfigError(
                f"--batches: {readable(name, 60)} is the beginning of {len(matches):,} batches, {_list(matches)}; "
                "write more of the name"
            )
    wanted = {matches[0] for matches in found.values()}
    return tuple(batch for batch in batches if batch.name in wanted)


def _matches(text: str, known: Sequence[str]) -> list[str]:
    """Return the batches that a text names: by the whole name, by the number, or by the beginning of the name."""
    stem = _stem(text.strip())
    if stem in known:
        return [stem]
    if stem.isdecimal():
        return [name for name in known if name.partition("-")[0].lstrip("0") == stem.lstrip("0")]
    return [name for name in known if stem and name.startswith(stem)]


def _newest(batches: Sequence[BatchEntry], trained: frozenset[str], window_rows: int, min_rows: int) -> WindowChoice:
    fresh = [batch for batch in batches if batch.name not in trained]
    if not fresh:
        none = "no batch has been ingested since the champion was trained" if batches else "there is no batch yet"
        return WindowChoice((), (none,))
    chosen: set[str] = set()
    n_rows = 0
    for batch in _by_age(fresh)[::-1]:
        nearer = abs(n_rows + batch.n_rows - window_rows) < abs(n_rows - window_rows)
        if chosen and n_rows >= min_rows and not nearer:
            break
        chosen.add(batch.name)
        n_rows += batch.n_rows
    short = f"only {n_rows:,} rows are new to the champion; drift.window_rows is {window_rows:,}"
    return WindowChoice(
        tuple(batch for batch in batches if batch.name in chosen),
        (short,) if n_rows < window_rows and len(chosen) == len(fresh) else tuple(_late_notes(fresh, chosen)),
    )


def _late_notes(fresh: Sequence[BatchEntry], chosen: Collection[str]) -> Iterator[str]:
    """Yield which batches arrived after one of the window, but have older rows, so that they are not in it."""
    first = next(place for place, batch in enumerate(fresh) if batch.name in chosen)
    if late := [batch.name for batch in fresh[first:] if batch.name not in chosen]:
        verb = "has" if len(late) == 1 else "have"
        yield (
            f"{counted(len(late), 'batch', 'batches')} that arrived late {verb} older rows than this window and "
            f"{'is' if len(late) == 1 else 'are'} not part of it: {_list(late)}; --batches judges them"
        )


def _by_age(batches: Sequence[BatchEntry]) -> list[BatchEntry]:
    """Sort batches, the newest last."""
    if any(batch.last_time is None for batch in batches):
        return list(batches)
    return sorted(batches, key=lambda batch: batch.last_time or datetime.min)


def _meets(batch: BatchEntry, request: WindowRequest) -> bool:
    """Return whether rows of a batch can be in the range; a batch without times is read, so that no row is missed."""
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
    of_chosen = f"{len(known):,} of {counted(len(chosen), 'batch', 'batches')}"
    return (f"{of_chosen} {verb} in the data the champion was trained on: {_list(known)}",)


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
    # Names begin with a number of four digits or more: a longer name is a later batch.
    return len(name), name


def _stem(name: str) -> str:
    return name.removesuffix(".parquet")


def _list(names: Sequence[str]) -> str:
    return listed(names, SHOWN_BATCHES)
