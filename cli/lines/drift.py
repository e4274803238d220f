"""The verdict on a window, and the history of windows, formatted for a terminal."""

from __future__ import annotations

import math
import shutil
import textwrap
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.output import section, short_path, table
from core.drift.reasons import TOLD_CHANGE
from core.gate.wording import NONE, metric_label, number, signed, signed_interval
from core.text import counted, readable

if TYPE_CHECKING:
    from core.drift.decision import ColumnDrift
    from core.drift.verdict import DriftVerdict
    from core.performance.loss import Performance

SHOWN_COLUMNS = 12
"""Maximum columns listed for one window; the rest are counted."""

SHOWN_HISTORIES = 25
"""Maximum columns whose history is drawn; the rest are counted."""

NAME_WIDTH = 32
FEWEST_CELLS = 6
UNKNOWN_WIDTH = 100
"""Characters of a line of the history if the output is not a terminal."""

BLOCKS = "▁▂▃▄▅▆▇█"
STEPS = (0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
"""Multiples of the bound that separate the blocks; the lower four blocks are values up to the bound."""

DRIFTED, GAP = "*", "·"


def report_lines(drawn: Mapping[str, Any]) -> list[str]:
    """Report that the page of a decision, or of a version's training, was drawn.

    Parameters
    ----------
    drawn
        Model, decision with its status or version, and links, as the command prints them as JSON.
    """
    of = f"version {drawn['version']}" if "version" in drawn else f"decision {drawn['id'][:12]} ({drawn['status']})"
    links = [f"{title:18} {short_path(place)}" for title, place in drawn["links"].items()]
    return [f"{drawn['model']}: drew the page of {of} with Evidently's plots", *section(links)]


def monitor_lines(verdict: DriftVerdict, links: Mapping[str, str], width: int | None = None) -> list[str]:
    """Report the verdict on a window, its reasons, the columns with the largest influence, and links.

    Parameters
    ----------
    links
        Paths or addresses by title.
    width
        Characters of a line; by default the terminal's; without a terminal, sentences are not wrapped.
    """
    width = _terminal_width() if width is None else width
    return [
        "",
        f"{verdict.model}: {_headline(verdict)}",
        *_sentences([_window_sentence(verdict), *verdict.reasons], width),
        *(_measurements(verdict, width - 2) if _is_judged(verdict) else []),
        *section([f"{title:18} {short_path(place)}" for title, place in links.items()]),
    ]


def drift_lines(
    model: str, windows: Sequence[DriftVerdict], report: str | None, *, bound: float = 0.1, width: int | None = None
) -> list[str]:
    """List a model's windows, and draw the PSI of each column over them.

    Parameters
    ----------
    windows
        In the order in which they were measured; listed in the order of their rows' times, if they have times.
    report
        Path or address of the newest report.
    bound
        PSI bound up to which a change is small: ``drift.psi`` of the model file.
    width
        Characters of a line; by default the terminal's.
    """
    if not windows:
        return [f"no drift window of {model} was measured yet; measure one with: perennial monitor {model}"]
    width = (_terminal_width() if width is None else width) or UNKNOWN_WIDTH
    windows = _in_time(windows)
    return [
        *textwrap.wrap(_history_headline(model, windows), width, subsequent_indent="  "),
        *section(_window_table(windows, width - 2)),
        *_histories_lines(_histories(windows), bound, width - 2),
        *section([f"{'newest report':18} {short_path(report)}"] if report else []),
    ]


def sparkline(cells: Iterable[tuple[float, bool] | None], bound: float) -> str:
    """Draw PSI over windows: one block each, followed by ``*`` if the column drifted; ``·`` if there is no value.

    Parameters
    ----------
    cells
        PSI and whether the column drifted, oldest first; None for a window without a value.
    bound
        The lower four blocks are PSI up to the bound; the upper four are PSI above 1, 2.5, 5 and 10 times the bound.

    Examples
    --------
    >>> sparkline([(0.01, False), (0.1, False), None, (0.11, True), (3.0, True)], bound=0.1)
    '▁ ▄ · ▅*█*'
    """
    return "".join(_cell(cell, bound) for cell in cells)


def _cell(cell: tuple[float, bool] | None, bound: float) -> str:
    if cell is None or not math.isfinite(cell[0]):
        return f"{GAP} "
    psi, drifted = cell
    return BLOCKS[bisect_left(STEPS, psi / bound)] + (DRIFTED if drifted else " ")


def _headline(verdict: DriftVerdict) -> str:
    retrain = "retraining is recommended" if verdict.retrain else "retraining is not recommended"
    return {
        "ok": "ok, nothing has drifted",
        "watch": "watch, there is a change, but no action is needed yet",
        "drift": f"drift, {retrain}",
        "insufficient": "insufficient, the window has too little evidence for a decision",
    }[verdict.status]


def _window_sentence(verdict: DriftVerdict) -> str:
    window = verdict.window
    batches = f" of {counted(len(window.batches), 'batch', 'batches')}" if window.batches else ""
    if window.source == "predictions":
        batches = " of the prediction log"
    span = " to ".join(dict.fromkeys(_times([window.first_time, window.last_time])))
    when = "" if NONE in span else f", {span}"
    return f"{counted(window.n_rows, 'row')}{batches}{when}, against {_rival(verdict)}"


def _rival(verdict: DriftVerdict) -> str:
    if verdict.against == "champion":
        return f"the training rows of champion {verdict.champion}"
    return f"data version {verdict.against.removesuffix('.dir')[:8]} (champion {verdict.champion})"


def _is_judged(verdict: DriftVerdict) -> bool:
    """Whether the window's numbers may be shown: with too few rows they would be misread as a result."""
    return verdict.status != "insufficient"


def _measurements(verdict: DriftVerdict, width: int) -> list[str]:
    columns, performance = _column_table(verdict.columns, width), _performance_table(verdict.performance, width)
    return [*section(columns), *section(performance)]


def _column_table(columns: Sequence[ColumnDrift], width: int) -> list[str]:
    ordered = sorted(columns, key=_rank)
    shown, rest = ordered[:SHOWN_COLUMNS], ordered[SHOWN_COLUMNS:]
    parts = [
        _Part("column", [_column_name(one, width) for one in shown]),
        _Part("PSI", [_psi(one.psi) for one in shown]),
        _Part("by chance", [_psi(one.critical) for one in shown], goes=2),
        _Part("missing", _percents([one.missing for one in shown], "missing")),
        _Part("importance", _percents([_importance(one) for one in shown], "importance")),
        _Part("", [_column_verdict(one) for one in shown]),
        _Part("", [_column_remark(one) for one in shown], goes=1),
    ]
    return [*_fitted(parts, width), *_rest([column.drifted and column.role != "unused" for column in rest])]


_ORDER = {"target": 0, "prediction": 0, "feature": 1, "unused": 2}


def _rank(column: ColumnDrift) -> tuple[bool, int, float, float]:
    """Sort drifted columns first; then target and prediction, which have no importance, before features and others."""
    return not column.drifted, _ORDER[column.role], -column.importance, -column.psi


def _rest(drifted: Sequence[bool]) -> list[str]:
    """Count the columns that are not shown."""
    share = f"{sum(drifted)} of which drifted" if any(drifted) else "none of which drifted"
    return [f"and {counted(len(drifted), 'more column')}, {share}"] if drifted else []


def _importance(column: ColumnDrift) -> float | None:
    return column.importance if column.role == "feature" else None


def _column_name(column: ColumnDrift, width: int) -> str:
    # A data set may have a column named "prediction", so target and prediction are shown in brackets.
    limit = max(12, width // 4) if 0 < width < 4 * NAME_WIDTH else NAME_WIDTH
    return readable(column.name, limit) if column.role in ("feature", "unused") else f"({column.role})"


def _column_verdict(column: ColumnDrift) -> str:
    if not column.drifted:
        return ""
    return "changed" if column.role == "unused" else "drifted"


def _column_remark(column: ColumnDrift) -> str:
    remarks = ["not a feature"] if column.role == "unused" else []
    if abs(column.missing - column.missing_reference) >= TOLD_CHANGE:
        remarks.append(f"missing was {_percent(column.missing_reference)}")
    if column.other is not None and column.other - (column.other_reference or 0.0) >= TOLD_CHANGE:
        remarks.append(f"{_percent(column.other)} other levels")
    return ", ".join(remarks)


def _performance_table(found: Sequence[Performance], width: int) -> list[str]:
    parts = [
        _Part("", [f"{metric_label(one.metric)}, {one.kind}" for one in found]),
        _Part("rows", [f"{one.n_rows:,}" for one in found], goes=3),
        _Part("reference", [number(one.reference) for one in found]),
        _Part("window", [number(one.value) for one in found]),
        _Part("loss", [signed(one.loss) for one in found]),
        _Part("interval", [signed_interval(one.loss_low, one.loss_high) for one in found], goes=1),
        _Part("tolerated", [number(one.tolerated) for one in found], goes=2),
        _Part("", [_harm_text(one) for one in found]),
    ]
    return _fitted(parts, width)


def _harm_text(one: Performance) -> str:
    if not one.judged:
        return "not judged"
    if one.harmed is None:
        return "no answer" if one.kind == "estimated" else "undecided"
    if one.harmed:
        return "exceeded"
    return "within it" if one.excludes_harm else "not excluded"


def _in_time(windows: Sequence[DriftVerdict]) -> list[DriftVerdict]:
    """Order windows by their rows' times; a window without times follows the one measured before it."""
    moments: list[datetime] = []
    for one in windows:
        moments.append(one.window.last_time or (moments[-1] if moments else datetime.min))
    return [windows[place] for place in sorted(range(len(windows)), key=lambda place: moments[place])]


def _history_headline(model: str, windows: Sequence[DriftVerdict]) -> str:
    rivals = dict.fromkeys(map(_rival, windows))
    against = f" against {next(iter(rivals))}" if len(rivals) == 1 else ""
    return f"{model}: {counted(len(windows), 'window')}{against}, newest last"


def _window_table(windows: Sequence[DriftVerdict], width: int) -> list[str]:
    starts = _times([one.window.first_time for one in windows])
    ends = _times([one.window.last_time for one in windows])
    timed = bool(set(ends) - {NONE})
    rivals = [_short_rival(one) for one in windows]
    # The first metric is the one that decides.
    found = [one.performance[0] if one.performance and _is_judged(one) else None for one in windows]
    metrics = {one.metric for one in found if one}
    parts = [
        _Part("measured (UTC)", [_measured(one) for one in windows], goes=2 if timed else None),
        _Part("against", rivals if len(set(rivals)) > 1 else [""] * len(windows), goes=1),
        _Part("rows", [f"{one.window.n_rows:,}" for one in windows]),
        _Part("from", starts, goes=3),
        _Part("to", ends),
        _Part("status", [f"{one.status}, retrain" if one.retrain else one.status for one in windows]),
        _Part("drifted", _percents([_drifted_share(one) for one in windows], "drifted")),
        _Part(metric_label(*metrics) if len(metrics) == 1 else "performance", [_value(one, metrics) for one in found]),
        _Part("", [_known_by(one, window) for one, window in zip(found, windows, strict=True)], goes=4),
    ]
    legend = ["drifted: share of the champion's importance"] if any(map(_is_judged, windows)) else []
    return [*_fitted(parts, width), *legend]


def _measured(verdict: DriftVerdict) -> str:
    return f"{verdict.measured_at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _short_rival(verdict: DriftVerdict) -> str:
    return f"champion {verdict.champion}" if verdict.against == "champion" else verdict.against[:8]


def _drifted_share(verdict: DriftVerdict) -> float | None:
    return verdict.importance_share if _is_judged(verdict) else None


def _value(found: Performance | None, metrics: set[str]) -> str:
    if found is None:
        return NONE
    return number(found.value) if len(metrics) == 1 else f"{metric_label(found.metric)} {number(found.value)}"


def _known_by(found: Performance | None, verdict: DriftVerdict) -> str:
    if found is None:
        return ""
    if found.harmed:
        return f"{found.kind}, harmed"
    return f"{found.kind}, biased" if verdict.bias is not None and verdict.bias.harmed else found.kind


@dataclass(frozen=True)
class _History:
    """A column of the newest window, and its PSI over all windows, oldest first."""

    column: ColumnDrift
    cells: list[tuple[float, bool] | None]

    @property
    def last(self) -> float | None:
        return next((cell[0] for cell in reversed(self.cells) if cell), None)

    @property
    def has_drifted(self) -> bool:
        return any(cell is not None and cell[1] for cell in self.cells)


def _histories_lines(histories: Sequence[_History], bound: float, width: int) -> list[str]:
    if not histories:
        return []
    shown, rest = histories[:SHOWN_HISTORIES], histories[SHOWN_HISTORIES:]
    parts = [
        _Part("column", [_column_name(one.column, width) for one in shown]),
        _Part("importance", _percents([_importance(one.column) for one in shown], "importance")),
        _Part("last PSI", [_psi(one.last) for one in shown]),
    ]
    room = (width - 2 - max(map(len, _table(parts)))) // 2
    n_windows = len(shown[0].cells)
    n_drawn = min(n_windows, max(FEWEST_CELLS, room))
    drawn = _Part("", [sparkline(one.cells[-n_drawn:], bound) for one in shown])
    hidden = _rest([one.has_drifted for one in rest])
    return [*section(_legend(n_drawn, n_windows, bound, width)), *section([*_table([*parts, drawn]), *hidden])]


def _histories(windows: Sequence[DriftVerdict]) -> list[_History]:
    newest = next((one for one in reversed(windows) if _is_judged(one)), None)
    if newest is None:
        return []
    found = [_psi_by_column(one) for one in windows]
    ordered = sorted(newest.columns, key=lambda column: (_ORDER[column.role], -column.importance))
    return [_History(column, [one.get((column.role, column.name)) for one in found]) for column in ordered]


def _psi_by_column(verdict: DriftVerdict) -> dict[tuple[str, str], tuple[float, bool]]:
    if not _is_judged(verdict):
        return {}
    return {(column.role, column.name): (column.psi, column.drifted) for column in verdict.columns}


def _legend(n_drawn: int, n_windows: int, bound: float, width: int) -> list[str]:
    beyond = ", ".join(
        f"{block} above {bound * step:g}" for block, step in zip(BLOCKS[4:], (1.0, *STEPS[4:]), strict=True)
    )
    which = counted(n_windows, "window")
    which = f"the last {n_drawn:,} of {which}" if n_drawn < n_windows else which
    text = f"PSI of {which}, newest right: {BLOCKS[:4]} up to {bound:g}, {beyond}; {DRIFTED} drifted, {GAP} no value"
    return textwrap.wrap(text, width)


@dataclass(frozen=True)
class _Part:
    """A column of a table: its header, its cells, and its rank for removal if lines are too long (None: keep)."""

    header: str
    cells: list[str]
    goes: int | None = None


def _fitted(parts: list[_Part], width: int) -> list[str]:
    """Format a table without empty columns and without columns that do not fit; width 0 means unlimited."""
    shown = [part for part in parts if {cell.strip() for cell in part.cells} - {NONE, ""}]
    turns = sorted(part.goes for part in shown if part.goes is not None)
    lines = _table(shown)
    while turns and width > 0 and max(map(len, lines), default=0) > width:
        going = turns.pop(0)
        shown = [part for part in shown if part.goes != going]
        lines = _table(shown)
    return lines


def _table(parts: list[_Part]) -> list[str]:
    return table(tuple(part.header for part in parts), list(zip(*(part.cells for part in parts), strict=True)))


def _terminal_width() -> int:
    """Characters of a line; 0 if the output is not a terminal."""
    return shutil.get_terminal_size((0, 0)).columns


def _sentences(texts: Sequence[str], width: int) -> list[str]:
    # The sentences contain names of columns and batches, which may contain control characters.
    lines = [readable(text, len(text)) for text in texts]
    if not width:
        return [f"  {line}" for line in lines]
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    ]


def _times(moments: Sequence[datetime | None]) -> list[str]:
    """Format moments as days, or with minutes if several moments fall on one day."""
    days = [NONE if moment is None else str(moment.date()) for moment in moments]
    if len({day for day in days if day != NONE}) == len({moment for moment in moments if moment}):
        return days
    return [NONE if moment is None else f"{moment.date()} {moment:%H:%M}" for moment in moments]


def _psi(value: float | None) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _percents(shares: Iterable[float | None], header: str) -> list[str]:
    """Format shares flush right under their header, because ``table`` takes cells with a % sign for text."""
    return [(NONE if share is None else _percent(share)).rjust(len(header)) for share in shares]
