"""Scan a Parquet file with Polars; runs in the peers' environment and imports nothing of Perennial.

``python polars_scan.py <file>``: prints as JSON the rows and what it took to find the least and the greatest value and
the number of nulls of every column, which no drift measure can do without.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Print the measurement."""
    import polars  # type: ignore[import-not-found] # of the peers' environment

    started = time.perf_counter(), time.process_time()
    rows = polars.scan_parquet(sys.argv[1])
    every = polars.all()
    asked = [every.min().name.suffix(" min"), every.max().name.suffix(" max"), every.null_count().name.suffix(" nulls")]
    found = rows.select(*asked, polars.len().alias("rows")).collect(engine="streaming")
    seconds, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    print(json.dumps({"rows": found["rows"][0], "seconds": seconds, "cpu": cpu, "mib": peak_mib()}))


def peak_mib() -> float:
    """Greatest resident memory of this process so far."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()
