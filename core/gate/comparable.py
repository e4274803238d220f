"""Whether two models predict the same target, and their probabilities in the same order of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats


def incomparable_reason(champion: FeatureContract, challenger: FeatureContract) -> str | None:
    """Return why two models cannot be scored on the same rows; None where they can.

    The features may differ, and so may the classes of a multiclass task.

    Examples
    --------
    >>> one = FeatureContract("regression", "price", (), ("size",), (), (), ())
    >>> incomparable_reason(one, FeatureContract("regression", "rent", (), ("size",), (), (), ()))
    "the champion predicts 'price' and the challenger 'rent'"
    """
    if champion.task != challenger.task:
        return f"the champion's task is {champion.task} and the challenger's {challenger.task}"
    if champion.target != challenger.target:
        return f"the champion predicts {champion.target!r} and the challenger {challenger.target!r}"
    if champion.task == "binary" and champion.classes != challenger.classes:
        theirs, ours = (" against ".join(map(repr, side.classes[::-1])) for side in (champion, challenger))
        return f"the champion predicts {theirs} and the challenger {ours}"
    return None


def aligned(output: Floats, classes: Sequence[str], wanted: Sequence[str]) -> Floats:
    """Reorder probabilities to another list of classes, shape (n, len(wanted)).

    A class the model does not know gets probability 0; probability of a class that is not wanted is dropped, so a row
    may sum to less than 1.
    Values of a regression (no classes) are returned unchanged.

    Parameters
    ----------
    output
        Probabilities in [0, 1], float64 of shape (n, len(classes)), or values of a regression, shape (n,).
    classes
        The model's classes, in the order of the columns; empty for a regression.
    wanted
        The classes and the order to return.

    Examples
    --------
    >>> aligned(np.array([[0.2, 0.7, 0.1]]), ("a", "b", "c"), ("b", "d", "a"))
    array([[0.7, 0. , 0.2]])
    """
    if tuple(classes) == tuple(wanted):
        return output
    placed = np.zeros((len(output), len(wanted)))
    for position, label in enumerate(wanted):
        if label in classes:
            placed[:, position] = output[:, list(classes).index(label)]
    return placed
