"""Leaves a mark when it is imported; a forged bundle asks for it, and nobody may."""

import os
from pathlib import Path

if "PERENNIAL_TEST_MARKER" in os.environ:
    Path(os.environ["PERENNIAL_TEST_MARKER"]).touch()


class Marker:
    """Named by forged bundles."""
