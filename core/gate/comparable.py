"""Whether two models answer the same question, and their answers in the same order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.feature_contract import FeatureContract
from core.metrics.metrics import Floats


def incomparable_reason(champion: FeatureContract, challenger: FeatureContract) -> str | None:
    """Say why two models cannot be scored on the same rows; None where they can.

    Other features are no obstacle, nor are classes of a multiclass task that only one of them knows.

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
        return f"the champion tells {theirs} and the challenger {ours}"
    return None


def aligned(output: Floats, classes: Sequence[str], wanted: Sequence[str]) -> Floats:
    """Put probabilities into another order of classes, shape (n, len(wanted)).

    A class the model does not know has probability 0; what it gives to classes that are not wanted is lost to it.
    Values of a regression (no classes) stay as they are.

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
