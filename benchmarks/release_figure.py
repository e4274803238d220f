"""Draw the looks that ``benchmarks.release_http --out`` wrote: ``python -m benchmarks.release_figure LOOKS FIGURE``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reports.figures import ACCENT, INK, MUTED, SECOND, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHADOW_SHARE = 0


def main() -> None:
    """Draw one column for each release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("looks", type=Path, help="JSON file of the looks")
    parser.add_argument("figure", type=Path, help="SVG file")
    given = parser.parse_args()
    draw(json.loads(given.looks.read_text()), given.figure)


def draw(trials: list[dict[str, Any]], path: Path) -> None:
    """Write the figure: shares over time, and below them what the labels say of the performance.

    Parameters
    ----------
    trials
        Releases with their name and looks, see :class:`core.release.outcome.ReleaseOutcome`.
    path
        SVG file.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        axes = figure.subplots(2, len(trials), sharex="col", squeeze=False)
        for column, trial in enumerate(trials):
            _shares(axes[0][column], trial)
            _performance(axes[1][column], trial)
        axes[0][0].set_ylabel("share of the new version, %")
        axes[1][0].set_ylabel("loss of ROC AUC")
        figure.savefig(path, format="svg", metadata={"Date": None})


def _shares(axes: Axes, trial: dict[str, Any]) -> None:
    looks = trial["looks"]
    # A look's outcome holds the state after it; before the first one is the shadow.
    seconds = [0.0, *(look["seconds"] for look in looks)]
    shares = [SHADOW_SHARE, *(look["share"] for look in looks)]
    axes.step(seconds, shares, where="post", color=ACCENT)
    axes.plot(seconds[1:], shares[1:], ".", color=MUTED, markersize=3)
    last = looks[-1]
    color = ACCENT if last["status"] == "completed" else SECOND
    axes.plot(last["seconds"], last["share"], "o", color=color)
    axes.annotate(
        last["status"].replace("_", " "),
        (last["seconds"], last["share"]),
        xytext=(-6, -14 if last["share"] > 50 else 8),
        textcoords="offset points",
        ha="right",
        color=color,
    )
    axes.set_ylim(-4, 106)
    axes.set_title(trial["name"], loc="left", color=INK)


def _performance(axes: Axes, trial: dict[str, Any]) -> None:
    found = [
        (look["seconds"], check)
        for look in trial["looks"]
        for check in look["checks"]
        if check["name"] == "performance" and check["estimate"] is not None
    ]
    if found:
        seconds = [at for at, _ in found]
        axes.vlines(seconds, *([check[end] for _, check in found] for end in ("lower", "upper")), color=MUTED)
        axes.plot(seconds, [check["estimate"] for _, check in found], ".", color=ACCENT)
        axes.axhline(found[0][1]["limit"], color=SECOND, linewidth=1)
        axes.annotate(
            "limit",
            (1, found[0][1]["limit"]),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            color=SECOND,
        )
    axes.set_xlabel("seconds")


if __name__ == "__main__":
    main()
