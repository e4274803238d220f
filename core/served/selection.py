"""Whether the rows with labels are a fair sample of the rows that were served, by the band of their score.

Where the prediction decides which outcome can be seen (only granted loans default), the labelled rows are not those
that the model answers, and a model that is trained on them learns another population.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.outcome import LabelSelection, ScoreBand
from core.wilson import wilson_interval

BANDS = 10
"""Bands of equally many rows into which scores are divided."""

CONFIDENCE = 0.99
"""Confidence that fair samples are not refused, over all bands together."""


def label_selection(bands: Sequence[ScoreBand], bound: float) -> LabelSelection | None:
    """Compare the labelled share of each band with that of all other rows; None where nothing can be compared.

    The upper bound of a ratio is that of the band's share divided by the lower one of the others', both from score
    intervals whose errors are divided among the bands (Bonferroni), so that fair samples pass with
    :data:`CONFIDENCE`.

    Parameters
    ----------
    bands
        Bands of rows whose labels would be known by now.
    bound
        Ratio below which the rows are a selected sample, 0 to 1; 0 accepts every sample.

    Examples
    --------
    >>> found = label_selection([ScoreBand("low", 500, 450), ScoreBand("high", 500, 20)], 0.5)
    >>> found.lowest, round(found.ratio, 3), found.is_selected
    ('high', 0.044, True)
    """
    n_rows, n_labelled = sum(band.n_rows for band in bands), sum(band.n_labelled for band in bands)
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(bands))
    found: list[tuple[float, float, str]] = []
    for band in bands:
        n_others, n_labelled_others = n_rows - band.n_rows, n_labelled - band.n_labelled
        if n_labelled_others:
            others = n_labelled_others / n_others
            low, _ = wilson_interval(others, n_others, confidence)
            _, high = wilson_interval(band.share, band.n_rows, confidence)
            found.append((high / low, band.share / others, band.name))
    if not found:
        return None
    upper, ratio, lowest = min(found)
    return LabelSelection(tuple(bands), lowest, ratio, upper, bound)
