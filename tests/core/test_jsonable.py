"""What JSON cannot hold becomes what it can."""

import numpy as np

from core.jsonable import jsonable


def test_jsonable_takes_numpy_apart() -> None:
    """Arrays become lists, numbers that are not finite None."""
    assert jsonable({1: np.array([1.0, np.inf]), "b": (np.bool_(True), "x", None)}) == {
        "1": [1.0, None],
        "b": [True, "x", None],
    }
