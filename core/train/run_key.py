"""The key of a training run."""

from __future__ import annotations

import hashlib
import json


def run_key(model: str, data_version: str, config_hash: str, code_version: str) -> str:
    """Name what a training run is made from (64 hex digits); the same key twice gives the same registered version.

    Examples
    --------
    >>> run_key("credit", "d1.dir", "c1", "s1") == run_key("credit", "d1.dir", "c1", "s1")
    True
    >>> run_key("credit", "d1.dir", "c1", "s1") == run_key("credit", "d1.dirc1", "", "s1")
    False
    """
    parts = json.dumps([model, data_version, config_hash, code_version])
    return hashlib.sha256(parts.encode()).hexdigest()
