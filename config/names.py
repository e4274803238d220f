"""Names of models."""

from __future__ import annotations

import re

MODEL_NAME = "[a-z][a-z0-9_-]{0,62}"
"""Regular expression of a model's name, without anchors."""


def is_model_name(text: str) -> bool:
    """Return whether a text may be the name of a model.

    Examples
    --------
    >>> is_model_name("credit-2"), is_model_name("Credit"), is_model_name("a/b")
    (True, False, False)
    """
    return re.fullmatch(MODEL_NAME, text) is not None
