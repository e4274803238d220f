"""Files of a project, with the ages that retention looks at."""

from __future__ import annotations

import os
import time
from pathlib import Path

DAY = 86_400.0


def aged(path: Path, days: float, text: str = "x" * 100) -> Path:
    """Write a file, last written so many days ago, in folders of the same age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    age(path, days)
    age(path.parent, days)
    return path


def age(path: Path, days: float) -> None:
    """Set when a file or folder was last written."""
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
