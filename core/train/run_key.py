"""The key of a training run."""

from __future__ import annotations

import hashlib
import json


def run_key(model: str, data_version: str, config_hash: str, code_version: str) -> str:
    """Return the hash of everything that decides a model, 64 hex digits; equal keys give the same registered version.

    Parameters
    ----------
    model
        Name of the model.
    data_version
        The data version trained on: 32 hex digits and ``.dir``.
    config_hash
        Hash of the model file's sections that decide the model.
    code_version
        Hash of the code that decides the model.

    Examples
    --------
    >>> run_key("credit", "d1.dir", "c1", "s1") == run_key("credit", "d1.dir", "c1", "s1")
    True
    >>> run_key("credit", "d1.dir", "c1", "s1") == run_key("credit", "d1.dirc1", "", "s1")
    False
    """
    parts = json.dumps([model, data_version, config_hash, code_version])
    return hashlib.sha256(parts.encode()).hexdigest()
