"""From drifted rows to a new version that answers, without a person: the seconds of each arrow.

``python -m benchmarks.loop``. The whole platform runs on this machine with PostgreSQL. The source is ingested each
minute; new data is monitored, drift retrains, the gate promotes, the service follows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.e2e.stage import Stage
from tests.e2e.timeline import run_loop, timeline_lines
from tests.factories import make_project
from tests.postgres import postgres_server


def main() -> None:
    """Print the timeline as a Markdown table."""
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres:
        moments = run_loop(Stage(make_project(Path(folder)), postgres.address))
    print("\n".join(timeline_lines(moments)))


if __name__ == "__main__":
    main()
