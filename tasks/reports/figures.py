"""Figures of an evaluation as SVG text."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.metrics.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT = "#2a6f97"
SECOND = "#e07a5f"
MUTED = "#9aa5b1"
INK = "#1a1a2e"
SHOWN_FEATURES = 15
SHOWN_SLICES = 20

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    # The same figure gives the same bytes: ids in the file derive from this instead of a random number.
    "svg.hashsalt": "perennial",
    # Names from data are drawn literally, not as TeX.
    "text.parse_math": False,
}


def draw_figures(evaluation: Evaluation) -> dict[str, str]:
    """Draw all figures of an evaluation.

    Returns
    -------
    dict
        SVG elements by title. Empty parts of the evaluation give no figure.
    """
    curves = evaluation.curves
    drawings: dict[str, tuple[bool, tuple[float, float], Callable[[Any], None]]] = {
        "Reliability": ("reliability" in curves, (3.5, 3.2), lambda figure: _reliability(figure, curves)),
        "Discrimination": ("roc" in curves, (6.9, 3.2), lambda figure: _discrimination(figure, curves)),
        "Predicted and actual": ("points" in curves, (6.9, 3.2), lambda figure: _regression(figure, curves)),
        "Feature importance": (bool(evaluation.importance), _bar_size(len(evaluation.importance)), _bars(evaluation)),
        "Slices": (bool(evaluation.slices), _slice_size(evaluation), lambda figure: _slices(figure, evaluation)),
    }
    return {title: svg_text(size, draw) for title, (present, size, draw) in drawings.items() if present}


def svg_text(size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """Draw on a figure of this size, in inches, and return its SVG element."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    # Matplotlib writes each label as a comment too: a feature named "gate" would match the mark of the card's section.
    return re.sub(r"<!--.*?-->\n?", "", text[text.index("<svg") :], flags=re.DOTALL)


def _reliability(figure: Figure, curves: dict[str, Any]) -> None:
    bins = curves["reliability"]
    axes = figure.add_subplot()
    end = _reliability_end(bins)
    axes.plot([0, end], [0, end], color=MUTED, linewidth=1, linestyle="--")
    errors = [
        [observed - low for observed, low in zip(bins["observed"], bins["low"], strict=True)],
        [high - observed for observed, high in zip(bins["observed"], bins["high"], strict=True)],
    ]
    axes.errorbar(bins["predicted"], bins["observed"], yerr=errors, color=ACCENT, marker="o", markersize=4, capsize=2)
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, end), ylim=(0, end))


def _reliability_end(bins: dict[str, Any]) -> float:
    """Return the end of both axes: 1, or less if all points and intervals of a rare event are below a half of it."""
    highest = max([*bins["predicted"], *bins["observed"], *bins["high"]], default=1.0)
    return 1.0 if highest > 0.5 or highest <= 0 else float(1.1 * highest)


def _discrimination(figure: Figure, curves: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--")
    for number, (roc, precision) in enumerate(zip(curves["roc"], curves["pr"], strict=True)):
        color = (ACCENT, SECOND, "#81b29a", "#3d405b", "#f2cc8f")[number % 5]
        left.plot(roc["fpr"], roc["tpr"], color=color, label=shortened(str(roc["label"])))
        right.plot(precision["recall"], precision["precision"], color=color)
        right.axhline(precision["share"], color=color, linewidth=1, linestyle=":")
    left.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    right.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    left.legend(frameon=False, loc="lower right")


def _regression(figure: Figure, curves: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    actual, predicted = curves["points"]["actual"], curves["points"]["predicted"]
    ends = [min(actual + predicted), max(actual + predicted)]
    left.plot(ends, ends, color=MUTED, linewidth=1, linestyle="--")
    left.scatter(actual, predicted, s=6, alpha=0.35, color=ACCENT, linewidths=0)
    left.set(xlabel="actual", ylabel="predicted")
    residuals = curves["residuals"]
    right.stairs(residuals["counts"], residuals["edges"], fill=True, color=ACCENT, alpha=0.7)
    right.axvline(0, color=MUTED, linewidth=1, linestyle="--")
    right.set(xlabel="actual minus predicted", ylabel="rows")


def _bars(evaluation: Evaluation) -> Callable[[Any], None]:
    def draw(figure: Figure) -> None:
        shown = evaluation.importance[:SHOWN_FEATURES][::-1]
        axes = figure.add_subplot()
        axes.barh(range(len(shown)), [item.mean for item in shown], xerr=[item.std for item in shown], color=ACCENT)
        label_rows(axes, [shortened(item.feature) for item in shown])
        axes.set_xlabel(f"permutation importance, in {evaluation.metric}")

    return draw


def _slices(figure: Figure, evaluation: Evaluation) -> None:
    shown = _shown_slices(evaluation)[::-1]
    axes = figure.add_subplot()
    overall = evaluation.metrics[evaluation.metric]
    if overall.low is not None and overall.high is not None:
        axes.axvspan(overall.low, overall.high, color=MUTED, alpha=0.2, linewidth=0)
    axes.axvline(overall.value, color=MUTED, linewidth=1)
    for row, part in enumerate(shown):
        estimate = part.metrics[evaluation.metric]
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [row, row], color=ACCENT, linewidth=1.5)
        axes.plot([estimate.value], [row], color=ACCENT, marker="o", markersize=4)
    label_rows(axes, [slice_label(part.column, part.level, part.n_rows) for part in shown])
    axes.set_xlabel(f"{evaluation.metric} (band: whole holdout)")


def _shown_slices(evaluation: Evaluation) -> list[Any]:
    known = [part for part in evaluation.slices if evaluation.metric in part.metrics]
    return [part for part in known if part.metrics[evaluation.metric].value == part.metrics[evaluation.metric].value][
        :SHOWN_SLICES
    ]


def slice_label(column: str, level: str, n_rows: int) -> str:
    """Return the label of a slice, with long columns and levels shortened."""
    return f"{shortened(column, 18)} = {shortened(level, 22)}  ({n_rows:,})"


def label_rows(axes: Axes, labels: list[str]) -> None:
    """Label the rows of a horizontal figure, the lowest first; the labels are already short."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)


def shortened(label: str, length: int = 40) -> str:
    """Shorten a long name and drop characters that the font or XML does not support."""
    clean = "".join(letter if letter.isprintable() and ord(letter) < 0x2000 else "�" for letter in label)
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def _bar_size(rows: int) -> tuple[float, float]:
    return (5.2, 0.9 + 0.26 * min(rows, SHOWN_FEATURES))


def _slice_size(evaluation: Evaluation) -> tuple[float, float]:
    return (5.2, 0.9 + 0.26 * min(len(evaluation.slices), SHOWN_SLICES))
