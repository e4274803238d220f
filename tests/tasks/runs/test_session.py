"""What a command that computes needs of its process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import ConfigError
from tasks.runs.session import ADDRESS_SPACE
from tests.factories import add_credit_model

ROOT = Path(__file__).resolve().parents[3]
CHECK = """
import resource, sys
from tasks.runs.session import check_address_space
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), -1))
check_address_space()
"""


@pytest.mark.parametrize("command", [("monitor", "credit"), ("train", "credit"), ("judge", "credit@1")], ids=" ".join)
def test_too_little_address_space_is_told_before_libraries_fail_in_it(
    project: Settings, command: tuple[str, ...]
) -> None:
    """A thread of Prefect's that cannot start would be waited for without an end."""
    add_credit_model(project)
    shell = 'ulimit -v 1048576; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-m", "cli", *command],
        cwd=ROOT,
        env={**os.environ, "PERENNIAL_ROOT": str(project.root)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (ConfigError.exit_code, "")
    assert "expected at least 3 GiB of address space, found a limit of 1.00 GiB; raise it" in done.stderr


@pytest.mark.parametrize(("bound", "code"), [(ADDRESS_SPACE - 1, 1), (ADDRESS_SPACE, 0), (resource.RLIM_INFINITY, 0)])
def test_the_bound_is_the_smallest_that_is_accepted(bound: int, code: int) -> None:
    """Also without a limit."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(bound)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert ("ConfigError" in done.stderr) is bool(code)
