"""Names of models, and the words of columns' names."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath


def model_name(address: str) -> str:
    """Return a model name for the data at an address: the file's stem in lower-case letters, digits and underscores.

    Examples
    --------
    >>> model_name("data/Loan Applications (2026).csv"), model_name("s3://lake/bike/"), model_name("2024.csv.gz")
    ('loan_applications_2026', 'bike', 'model_2024')
    """
    parts = [part for part in PurePosixPath(address.replace("\\", "/")).parts if re.search(r"\w", part)]
    stem = next((part for part in reversed(parts) if "*" not in part), "") or "model"
    plain = unicodedata.normalize("NFKD", stem.split(".")[0]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:56]
    named = slug if re.match(r"[a-z]", slug) else f"model_{slug}".rstrip("_")
    return f"model_{named}" if named == "latest" or re.fullmatch(r"v\d+", named) else named
