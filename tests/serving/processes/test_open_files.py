"""A worker's connections fit into the files that it may have open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serving.processes.open_files import FEWEST, RESERVED

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import resource
from serving.processes.open_files import connections_within
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(connections_within(800), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "bound", "told"),
    [
        (5000, 5000, 800, 5000, False),
        (256, 5000, 800, 800 + RESERVED, False),
        (200, 500, 500 - RESERVED, 500, True),
        (500, 500, 500 - RESERVED, 500, True),
        (100, 100, FEWEST, 100, True),
    ],
)
def test_connections_leave_files_to_the_worker(soft: int, hard: int, connections: int, bound: int, told: bool) -> None:
    """The soft bound is raised as far as it may be; where that is too little, there are fewer connections."""
    code = CODE.format(soft=soft, hard=hard)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(connections), str(bound), str(hard)]
    assert (f"{hard} files open (ulimit -n): at most {connections} connections instead of 800" in done.stderr) is told
