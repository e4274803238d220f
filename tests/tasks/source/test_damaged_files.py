"""Damaged CSV and Parquet files; ``benchmarks/mutated_files.py`` reads two thousand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_a_damaged_file_ends_in_rows_or_in_a_reason() -> None:
    """No error but our own, no signal, no hang; each refusal has a reason, and some files can still be read."""
    command = [sys.executable, "-m", "benchmarks.mutated_files", "--files", "30", "--first", "550"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert [(row[0], row[1], row[2], row[5:8]) for row in rows] == [
        (kind, reader, "15", ["0", "0", "0"]) for kind in ("csv", "parquet") for reader in ("ingest", "init")
    ]
    assert all(int(row[3]) + int(row[4]) == 15 for row in rows)
    assert sum(int(row[3]) for row in rows) > 0
