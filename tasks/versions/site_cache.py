"""The folder of DVC's own caches, which no other user may write."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path

from tasks.versions.working_copy import remove_stale

PREFIX = "dvc-"
"""Of the folders; one that a killed process left is removed after a day."""


@functools.cache
def site_cache(work: Path) -> Path:
    """Create a folder for DVC's caches in a folder of working files; it lasts as long as this process.

    DVC reads these caches as pickles, and creates their folder with mode 0777, by default in ``/var/tmp``: another
    user who writes there runs code in this process. Nothing in them is needed by a later process.
    """
    work.mkdir(parents=True, exist_ok=True)
    remove_stale(work, PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=work))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # DVC takes what is there, and would create it with mode 0777.
    (folder / "repo").mkdir(mode=0o700)
    # The variable would take precedence over the configuration that names this folder.
    os.environ.pop("DVC_SITE_CACHE_DIR", None)
    return folder
