"""Prepare columns of two samples for drawing, so that plots of extreme or unusual values are legible.

Only the drawn values change; scores and verdicts are computed from the original rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.feature_contract import MISSING
from core.text import counted, readable

MAX_LEVELS = 30
"""Levels with a bar each; a plot of more levels is not legible, and Evidently's time grows with their square."""

LABEL_LENGTH = 30
SPARK_BINS = 24
SPARK_SIZE = (150, 30)
FIGURE_SIZE = (340, 150)
FIGURE_LEVELS = 7
"""Levels with bars in our own figures; the others share one."""

TAIL = 0.01
"""Values outside these quantiles by more than the range between them are drawn at the end of the plot."""

LARGEST = 1e300
STEPS = 10_000
"""Values are rounded to this part of their range: closer values could give bins with equal floating-point edges."""

# Text for Evidently and plotly has no character that could begin markup: plotly interprets some tags even in labels.
_LOOKALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", "&": "\uff06"})

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """How one column is drawn.

    Parameters
    ----------
    kind
        ``numeric`` or ``levels``; numbers without a spread are drawn as levels.
    reference, current
        float64 with NaN, or text without any; empty where the column cannot be drawn.
    remarks
        What the drawing omits or changes, as sentences without a full stop.
    """

    kind: str
    reference: pd.Series
    current: pd.Series
    remarks: tuple[str, ...] = ()

    @property
    def drawable(self) -> bool:
        """Whether both samples have a value."""
        return len(self.reference) > 0 and len(self.current) > 0


def number_drawing(reference: Floats, current: Floats) -> Drawing:
    """Draw numbers: infinite values are omitted, outliers drawn at the ends, extreme magnitudes scaled."""
    finite = [np.where(np.isfinite(side), side, np.nan) for side in (reference, current)]
    remarks = _infinite_remark(reference, current)
    bare = _bare_sides(np.isfinite(side).any() for side in finite)
    if bare:
        return undrawable("numeric", (f"not drawn: no {'finite ' if remarks else ''}value in {bare}", *remarks))
    fenced, remark = _fenced(finite[0], finite[1])
    unit = _unit(fenced)
    remarks += remark + ((f"drawn in units of {unit:g}",) if unit != 1 else ())
    low, high = _ends(fenced)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return level_drawing(*(_as_levels(side) for side in fenced))
    low, step = low / unit, high / unit / STEPS - low / unit / STEPS
    drawn = [pd.Series(low + np.round((side / unit - low) / step) * step) for side in fenced]
    return Drawing("numeric", drawn[0], drawn[1], remarks)


def level_drawing(reference: pd.Series, current: pd.Series) -> Drawing:
    """Draw levels: missing values as a level, the most frequent levels by name, and all others together.

    Parameters
    ----------
    reference, current
        Text or None.
    """
    bare = _bare_sides((reference.notna().any(), current.notna().any()))
    if bare:
        return undrawable("levels", (f"not drawn: no value in {bare}",))
    sides = [side.astype(object).where(side.notna(), MISSING) for side in (reference, current)]
    shares = pd.concat([side.value_counts(normalize=True) for side in sides], axis=1).fillna(0.0).max(axis=1)
    kept = [str(level) for level in shares.sort_values(ascending=False, kind="stable").index[:MAX_LEVELS]]
    rest = len(shares) - len(kept)
    labels = dict(zip(kept, shown_names(kept, LABEL_LENGTH), strict=True))
    other = f"({rest:,} other levels)"
    drawn = [side.map(lambda level: labels.get(level, other)).reset_index(drop=True) for side in sides]
    remarks = (f"the {len(kept)} most frequent of {len(shares):,} levels are drawn",) if rest else ()
    return Drawing("levels", drawn[0], drawn[1], remarks)


def shown_names(names: Sequence[str], limit: int) -> list[str]:
    """Return distinct names without markup and invisible characters, each of at most about `limit` characters.

    Examples
    --------
    >>> shown_names(["age", "x" * 9, "x" * 8, "a b"], limit=6)
    ['age', 'xxxxx…', 'xxxxx… (2)', 'a b']
    """
    # Evidently creates columns with these names beside the one it draws.
    taken = {"", "index", "per"}
    shown = []
    for name in names:
        plain = readable(name, limit).translate(_LOOKALIKES)
        number, unique = 1, plain
        while unique in taken:
            number += 1
            unique = f"{plain} ({number})"
        taken.add(unique)
        shown.append(unique)
    return shown


def spark_svg(drawing: Drawing) -> str:
    """Draw both distributions as a sparkline: the reference as an area, the current rows as a line.

    Returns
    -------
    str
        An SVG element without text; empty for a column that cannot be drawn.
    """
    if not drawing.drawable:
        return ""
    reference, current = _number_shares(drawing) if drawing.kind == "numeric" else _level_shares(drawing)
    top = max(reference.max(), current.max())
    width, height = SPARK_SIZE
    area = f'<path class="reference" d="{_steps(reference / top)} V{height} H0 Z"/>'
    line = f'<path class="current" d="{_steps(current / top)}"/>'
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">{area}{line}</svg>'
    )


def figure_svg(drawing: Drawing) -> str:
    """Draw both distributions with their axes: shares of the values, the reference in grey, the current rows in colour.

    Returns
    -------
    str
        An SVG element whose only texts are escaped levels and our own numbers; empty for a column that cannot be drawn.
    """
    if not drawing.drawable:
        return ""
    content = _number_figure(drawing) if drawing.kind == "numeric" else _level_figure(drawing)
    width, height = FIGURE_SIZE
    return f'<svg class="figure" viewBox="0 0 {width} {height}" width="{width}" height="{height}">{content}</svg>'


def undrawable(kind: str, remarks: tuple[str, ...]) -> Drawing:
    """Return the drawing of a column that is in the table only."""
    return Drawing(kind, pd.Series(dtype=object), pd.Series(dtype=object), remarks)


def _bare_sides(filled: Iterable[object]) -> str:
    bare = [side for side, has in zip(("the reference", "the current rows"), filled, strict=True) if not has]
    return " and in ".join(bare)


def _infinite_remark(reference: Floats, current: Floats) -> tuple[str, ...]:
    n_infinite = int(np.isinf(reference).sum() + np.isinf(current).sum())
    return (f"infinite values are not drawn ({n_infinite:,})",) if n_infinite else ()


def _unit(sides: Sequence[Floats]) -> float:
    """Return the power of ten that scales extreme numbers to about one; 1.0 for all others."""
    largest = max(float(np.nanmax(np.abs(side))) for side in sides)
    if largest == 0.0 or 1e-6 < largest < 1e9:
        return 1.0
    # Smaller powers of ten lose digits.
    return 10.0 ** max(floor(log10(largest)), -300)


def _fenced(reference: Floats, current: Floats) -> tuple[list[Floats], tuple[str, ...]]:
    """Clip both samples to the same limits, and remark how many values are outside."""
    # Within these bounds, later differences and squares do not overflow.
    sides = [np.clip(side, -LARGEST, LARGEST) for side in (reference, current)]
    tails = np.array([np.nanquantile(side, (TAIL, 1 - TAIL)) for side in sides])
    low, high = float(tails[:, 0].min()), float(tails[:, 1].max())
    if high > low:
        low, high = low - (high - low), high + (high - low)
        sides = [np.clip(side, low, high) for side in sides]
    both = np.concatenate((reference, current))
    outside = (("below", low, both < low), ("above", high, both > high)) if high > low else ()
    counts = [(side, _short(limit), int(mask.sum())) for side, limit, mask in outside]
    return sides, tuple(f"values {side} {limit} are drawn at {limit} ({n:,})" for side, limit, n in counts if n)


def _short(number: float) -> str:
    """Format a number with three significant digits.

    Examples
    --------
    >>> _short(351_234.5), _short(-7.0251), _short(1.2345e15)
    ('351,000', '-7.03', '1.23e+15')
    """
    return f"{float(f'{number:.3g}'):,.10g}"


def _ends(sides: Sequence[Floats]) -> tuple[float, float]:
    return min(float(np.nanmin(side)) for side in sides), max(float(np.nanmax(side)) for side in sides)


def _as_levels(values: Floats) -> pd.Series:
    return pd.Series([None if np.isnan(value) else f"{value:.12g}" for value in values], dtype=object)


def _number_shares(drawing: Drawing) -> tuple[Floats, Floats]:
    sides = [side.dropna().to_numpy() for side in (drawing.reference, drawing.current)]
    edges = np.linspace(*_ends(sides), SPARK_BINS + 1)
    reference, current = (np.histogram(side, edges)[0] / len(side) for side in sides)
    return reference, current


def _level_shares(drawing: Drawing) -> tuple[Floats, Floats]:
    sides = [side.value_counts(normalize=True) for side in (drawing.reference, drawing.current)]
    both = pd.concat(sides, axis=1).fillna(0.0).to_numpy(dtype=np.float64)
    return both[:, 0], both[:, 1]


def _number_figure(drawing: Drawing) -> str:
    sides = [side.dropna().to_numpy() for side in (drawing.reference, drawing.current)]
    low, high = _ends(sides)
    reference, current = _number_shares(drawing)
    top = float(max(reference.max(), current.max()))
    width, height = FIGURE_SIZE
    left, bottom = 44, 22
    size = (width - left, height - bottom - 12)
    area = f'<path class="reference" d="{_steps(reference / top, size)} V{size[1]} H0 Z"/>'
    line = f'<path class="current" d="{_steps(current / top, size)}"/>'
    places = ((left, "start", low), (left + size[0] / 2, "middle", (low + high) / 2), (width, "end", high))
    ticks = "".join(_label(x, height - 6, anchor, _short(value)) for x, anchor, value in places)
    shares = _label(left - 6, 16, "end", f"{top:.0%}") + _label(left - 6, height - bottom, "end", "0%")
    axis = f'<path class="axis" d="M{left} {height - bottom} H{width}"/>'
    return f'<g transform="translate({left} 12)">{area}{line}</g>{axis}{ticks}{shares}'


def _level_figure(drawing: Drawing) -> str:
    sides = [side.value_counts(normalize=True) for side in (drawing.reference, drawing.current)]
    table = pd.concat(sides, axis=1).fillna(0.0)
    table = table.loc[table.max(axis=1).sort_values(ascending=False, kind="stable").index]
    shown = [(str(level), float(before), float(now)) for level, before, now in table[:FIGURE_LEVELS].itertuples()]
    before, now = (float(side) for side in table[FIGURE_LEVELS:].sum())
    if len(table) > FIGURE_LEVELS:
        shown.append((counted(len(table) - FIGURE_LEVELS, "other"), before, now))
    top = max(max(before, now) for _, before, now in shown)
    step = FIGURE_SIZE[1] / (FIGURE_LEVELS + 1)
    return "".join(
        _bars(level, before, now, top, number * step, step) for number, (level, before, now) in enumerate(shown)
    )


def _bars(level: str, reference: float, current: float, top: float, y: float, step: float) -> str:
    """Draw the bars of one level, one under the other, between its name and its shares."""
    left, right = 114, 98
    scale, width = (FIGURE_SIZE[0] - left - right) / top, FIGURE_SIZE[0]
    bars = (("reference", reference, y + 2), ("now", current, y + step / 2))
    drawn = "".join(
        f'<rect class="{kind}" x="{left}" y="{at:.1f}" width="{share * scale:.1f}" height="{step / 2 - 2:.1f}"/>'
        for kind, share, at in bars
    )
    middle = y + step / 2 + 4
    shares = f"{reference:.1%} → {current:.1%}"
    return drawn + _label(left - 6, middle, "end", level[:16]) + _label(width, middle, "end", shares)


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _steps(heights: Floats, size: tuple[int, int] = SPARK_SIZE) -> str:
    width, height = size
    step = width / len(heights)
    moves = [f"V{height - 1 - (height - 2) * share:.1f} H{(bin_ + 1) * step:.1f}" for bin_, share in enumerate(heights)]
    return f"M0 {height} {' '.join(moves)}"
