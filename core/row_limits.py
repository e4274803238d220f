"""What a row that a model is asked about may hold, in a request as in a batch; and what a label may."""

from __future__ import annotations

import numpy as np

MAX_NUMBER = float(np.finfo(np.float32).max)
"""Models compute in single precision; a larger number would become infinity."""

MAX_TEXT = 1024
"""Most characters of a categorical value."""

TEXT_PATTERN = r"^[^\x00-\x08\x0e-\x1b\x7f]*$"
"""What a key or a categorical value is made of, see :func:`core.data.cells.is_damaged`."""

MAX_KEY = 255
"""Most characters of an entity's key."""
