"""The tools Perennial is measured against, in environments of their own.

None of them is a dependency of Perennial, and some want other versions of the same libraries than Perennial does, or
than each other. An environment is made by uv at first use and kept; :func:`run` runs one file in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / "var" / "bench"

# After the tools comes what they ask for: pinned, because it decides speed and digits.
PINS = {
    "peers": (
        "nannyml==0.13.1",
        "polars==2.1.0",
        "statsmodels==0.15.0",
        "numpy==2.4.6",
        "pandas==3.1.1",
        "pyarrow==26.0.1",
        "scikit-learn==1.9.1",
        "scipy==1.17.1",
    ),
    "river": ("river==0.26.1", "numpy==2.4.6", "scipy==1.17.1"),
    "alibi": ("alibi-detect==0.13.0", "numba==0.59.1", "numpy==1.26.4", "scikit-learn==1.9.1", "scipy==1.17.1"),
}
"""Environment: the packages in it."""

QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "PYTHONWARNINGS": "ignore"}
"""NannyML reports its use over the network unless told not to, and imports with pages of warnings."""


def run(script: Path, *arguments: str | Path, threads: int | None = None, tools: str = "peers") -> str:
    """Run a file with the peers' interpreter and return what it printed; its complaints go to this process's.

    Parameters
    ----------
    script
        Imports nothing of Perennial.
    threads
        Of Polars and the numeric libraries; as many as there are cores where not given.
    tools
        Which environment, of :data:`PINS`.

    Raises
    ------
    subprocess.CalledProcessError
        The environment cannot be made, or the file failed.
    """
    command = [str(python(tools)), str(script), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(threads)).stdout


def python(tools: str = "peers") -> Path:
    """Path of an environment's interpreter; makes the environment where it is not there, which takes a minute."""
    folder, pins = ENVIRONMENTS / tools, "\n".join(PINS[tools])
    interpreter = folder / "bin" / "python"
    made = folder / "pins.txt"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not made.is_file() or made.read_text() != pins:
            # Two versions beside each other in one folder would be neither.
            shutil.rmtree(folder, ignore_errors=True)
            _uv("venv", "--python", _interpreter(), str(folder))
            _uv("pip", "install", "--python", str(interpreter), *PINS[tools])
            made.write_text(pins)
    return interpreter


def environment(threads: int | None = None) -> dict[str, str]:
    """Environment variables of a process that runs a peer."""
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
    return {**os.environ, **QUIET, **({name: str(threads) for name in limits} if threads else {})}


def _interpreter() -> str:
    # NannyML 0.13.1 and alibi-detect 0.13.0 do not install on Python 3.13.
    return sys.executable if sys.version_info < (3, 13) else "3.12"


def _uv(*arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).with_name("uv")), "--quiet", *arguments], check=True)


if __name__ == "__main__":
    print(python())
