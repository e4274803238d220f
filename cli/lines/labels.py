"""Labels and their coverage as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import section, table
from core.text import counted, listed, number, readable

if TYPE_CHECKING:
    from tasks.served.bulk import BulkLabels
    from tasks.served.coverage import LabelCoverage


def recorded_lines(model: str, found: BulkLabels) -> list[str]:
    """Report what became of the labels of a file."""
    left_out = [
        f"  {counted(n_rows, 'row')} {why}"
        for n_rows, why in (
            (found.empty, "without a label left out"),
            (found.repeated, "before the last one about the same prediction or event left out"),
        )
        if n_rows
    ]
    unmatched = []
    if found.unmatched:
        names = found.unmatched_ids or found.unmatched_keys
        what = "id" if found.unmatched_ids else "key"
        examples = listed([readable(name, 40) for name in names], 3)
        unmatched = [
            f"  {counted(found.unmatched, what)} not in the prediction log so far; the labels are kept: {examples}"
        ]
    added = counted(found.added, "label")
    return [
        f"{model}: {added} added, {found.unchanged:,} unchanged, {found.replaced:,} with another value",
        *left_out,
        *unmatched,
        f"  {found.seconds:.1f} s, {found.per_second:,.0f} labels per second",
    ]


def coverage_lines(found: LabelCoverage) -> list[str]:
    """List the weeks of predictions with their labels, and the delay of labels."""
    if not found.weeks:
        return [f"{found.model}: no predictions in the log in these weeks; the service writes them: perennial serve"]
    rows = [
        (str(one.week), f"{one.n_rows:,}", f"{one.n_labelled:,}", f"{100 * one.share:.1f} %".rjust(len("share")))
        for one in found.weeks
    ]
    return [
        f"{found.model}: labels of the predictions of {counted(len(found.weeks), 'week')}",
        *section(table(("week of", "predictions", "labelled", "share"), rows)),
        *section(_delay(found)),
    ]


def _delay(found: LabelCoverage) -> list[str]:
    configured = f"drift.label_delay_days is {number(found.label_delay_days)}"
    delay = found.delay
    if delay is None:
        return [f"too few labels to estimate their delay; {configured}"]
    advice = ""
    if delay.complete_days > found.label_delay_days:
        advice = ": labels of younger rows count although they are incomplete"
    return [
        f"half of the labels arrive within {counted(delay.median_days, 'day')}, 95 % within "
        f"{counted(delay.complete_days, 'day')} (estimated from {delay.n_labels:,} labels); {configured}{advice}"
    ]
