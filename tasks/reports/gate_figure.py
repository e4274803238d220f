"""Forest plot of a challenger's gain and its interval, over all rows and on every slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from config.schema import Gate
from core.gate.comparison import Comparison, SliceGain
from core.metrics.metrics import METRICS
from core.metrics.paired import Difference
from tasks.reports.figures import ACCENT, INK, MUTED, SECOND, SHOWN_SLICES, slice_label, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_INCHES = 0.27
WIDTH_INCHES = 7.4
GAP = 0.5
"""Space between all rows and the slices, in rows of the plot."""

WIDEST = 4.0
"""Slices' intervals are cut at this multiple of the remaining range: a tiny slice would flatten all others."""

Limits = tuple[float, float]


class Look(NamedTuple):
    """Colour and marker of an interval; the marker distinguishes the kinds in black and white."""

    color: str
    marker: str
    size: float
    width: float


WHOLE = Look(INK, "D", 7, 2.6)
SLICE = Look(ACCENT, "o", 4.5, 1.5)
WORSE = Look("#b23a48", "X", 8, 1.5)


def forest_plot(comparison: Comparison, gate: Gate | None = None) -> str:
    """Draw a comparison as an SVG element; return an empty text if the gain is undefined.

    Parameters
    ----------
    gate
        Adds the lines at ``-margin`` and ``-slice_margin``.
    """
    if comparison.difference.gain is None:
        return ""
    slices = shown_slices(comparison)
    height = 1.0 + ROW_INCHES * (1 + GAP * bool(slices) + len(slices))
    return svg_text((WIDTH_INCHES, height), lambda figure: _draw(figure, comparison, slices, gate))


def shown_slices(comparison: Comparison) -> list[SliceGain]:
    """Return the slices with a gain, in their order; if there are too many, the worst ones."""
    known = [part for part in comparison.slices if part.difference is not None and part.difference.gain is not None]
    worst_first = sorted(known, key=lambda part: (not part.worse, 1.0 if part.p_value is None else part.p_value))
    kept = {id(part) for part in worst_first[:SHOWN_SLICES]}
    return [part for part in known if id(part) in kept]


def _draw(figure: Figure, comparison: Comparison, slices: list[SliceGain], gate: Gate | None) -> None:
    axes = figure.add_subplot()
    top = len(slices) - 1 + (1 + GAP if slices else 1)
    limits = _limits(comparison.difference, slices, gate)
    _lines(axes, gate, limits, top, len(slices))
    _interval(axes, comparison.difference, top, limits, WHOLE)
    for row, part in enumerate(slices[::-1]):
        if part.difference is not None:
            _interval(axes, part.difference, row, limits, WORSE if part.worse else SLICE)
    labels = [slice_label(part.column, part.level, part.n_rows) for part in slices[::-1]]
    axes.set_yticks([*range(len(slices)), top], [*labels, f"all rows  ({comparison.n_rows:,})"])
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set(xlim=limits, ylim=(-0.7, top + 0.7))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"←  worse     gain in {METRICS[comparison.metric].label}     better  →")


def _lines(axes: Axes, gate: Gate | None, limits: Limits, top: float, n_slices: int) -> None:
    """Draw the line of no change, and the margins: for all rows in their row, for slices in theirs."""
    axes.axvline(0, color=MUTED, linewidth=1, zorder=0)
    if gate is None:
        return
    whole = (top - 0.6, top + 0.7)
    axes.fill_betweenx(whole, limits[0], -gate.margin, color=SECOND, alpha=0.12, linewidth=0, zorder=0)
    if gate.margin:
        axes.plot([-gate.margin] * 2, whole, color=SECOND, linewidth=1, linestyle="--", zorder=1)
        axes.annotate(f"margin {-gate.margin:g}", (-gate.margin, whole[1]), ha="center", va="bottom", fontsize=8)
    if gate.slice_margin and n_slices:
        axes.plot([-gate.slice_margin] * 2, [-0.6, n_slices - 0.4], color=SECOND, linewidth=1, linestyle=":", zorder=1)


def _interval(axes: Axes, difference: Difference, row: float, limits: Limits, look: Look) -> None:
    style: dict[str, Any] = {"color": look.color, "zorder": 3}
    if difference.low is not None and difference.high is not None:
        ends = [max(difference.low, limits[0]), min(difference.high, limits[1])]
        axes.plot(ends, [row, row], linewidth=look.width, solid_capstyle="butt", **style)
        if difference.low < limits[0]:
            axes.plot([limits[0]], [row], marker="<", markersize=5, clip_on=False, **style)
        if difference.high > limits[1]:
            axes.plot([limits[1]], [row], marker=">", markersize=5, clip_on=False, **style)
    axes.plot(_numbers(difference.gain), [row], marker=look.marker, markersize=look.size, **style)


def _limits(difference: Difference, slices: list[SliceGain], gate: Gate | None) -> Limits:
    """Return axis limits that span all values; slices' intervals are cut at a multiple of the remaining range."""
    fixed = [0.0, -(gate.margin if gate else 0.0), *_numbers(difference.gain, difference.low, difference.high)]
    fixed += [gain for part in slices if part.difference for gain in _numbers(part.difference.gain)]
    reach = WIDEST * (max(fixed) - min(fixed))
    ends = [end for part in slices if part.difference for end in _numbers(part.difference.low, part.difference.high)]
    low = min([*fixed, *(max(end, min(fixed) - reach) for end in ends)])
    high = max([*fixed, *(min(end, max(fixed) + reach) for end in ends)])
    room = 0.06 * (high - low) or 0.01
    return low - room, high + room


def _numbers(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]
