"""The figure of a comparison: the whole holdout and its slices."""

from __future__ import annotations

from dataclasses import replace

from tasks.reports.gate_figure import forest_plot, shown_slices
from tests.tasks.verdicts import (
    SLICES,
    comparison,
    config,
    difference,
    slice_gain,
)


def test_a_label_like_the_marks_cannot_move_them() -> None:
    """The figure repeats no label as a comment: a level 'gate' looks like no mark."""
    slices = (slice_gain("gate", "/gate", 0.01, 0.02, 40),)
    assert "<!--" not in forest_plot(comparison(slices=slices))


def test_the_figure_has_a_row_for_the_whole_and_for_every_slice_that_has_a_gain() -> None:
    """A slice too small to be compared is in the table only."""
    figure = forest_plot(comparison(), config().gate)
    assert figure.startswith("<svg")
    assert figure.count('id="ytick_') == 1 + len(SLICES) - 1
    assert forest_plot(comparison(), config().gate) == figure
    assert forest_plot(comparison()) != figure


def test_a_tie_without_slices_can_be_drawn() -> None:
    """An interval of no width has a figure too."""
    tie = replace(comparison(slices=()), difference=difference(0.0, 0.0))
    assert forest_plot(tie).count('id="ytick_') == 1


def test_of_many_slices_the_worst_are_drawn_in_their_order() -> None:
    """A slice that is worse is never among those left out."""
    calm = tuple(slice_gain("level", str(number), 0.01, 0.02, 100) for number in range(60))
    worst = slice_gain("level", "worst", -0.2, 0.05, 100, worse=True)
    shown = shown_slices(comparison(slices=(*calm, worst)))
    assert len(shown) == 20
    assert shown[-1] == worst
