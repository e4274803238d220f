"""The platform's processes, formatted for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from cli.output import short_path, table
from config.platform import PlatformState
from tasks.platform.up import Status

COLOURS = {"healthy": "green", "starting": "yellow", "stopping": "yellow", "waiting": "yellow"}


def platform_lines(statuses: Sequence[Status]) -> list[str]:
    """Return one line per process."""
    rows = [(status.name, status.state, status.address, short_path(status.log)) for status in statuses]
    header, *lines = table(("process", "state", "address", "log"), rows)
    place = header.index("state")
    return [click.style(header, dim=True), *map(lambda line, row: _coloured(line, row[1], place), lines, rows)]


def platform_document(statuses: Sequence[Status], state: PlatformState) -> dict[str, object]:
    """Return a JSON-serializable document, without database addresses, which may contain passwords."""
    return {
        "ready": state.ready,
        "pid": state.pid,
        "prefect_api_url": state.prefect_api_url,
        "mlflow_uri": state.mlflow_uri,
        "serving_url": f"http://127.0.0.1:{state.serving_port}",
        "processes": [status.to_dict() for status in statuses],
    }


def change_line(before: Status, after: Status, at: datetime) -> str:
    """Report a change of a process's state."""
    words: Mapping[str, str] = {
        "healthy": f"healthy (process {after.pid})",
        "starting": f"restarted (process {after.pid})",
        "unhealthy": f"unresponsive (process {after.pid}); see {short_path(after.log)}",
        "waiting": f"ended; restarting it. See {short_path(after.log)}",
    }
    moment = click.style(f"{at:%H:%M:%S}", dim=True)
    colour = COLOURS.get(after.state, "red")
    return f"{moment}  {click.style(f'{before.name:<8}', fg=colour)}  {words.get(after.state, after.state)}"


def _coloured(line: str, word: str, place: int) -> str:
    return line[:place] + click.style(word, fg=COLOURS.get(word, "red")) + line[place + len(word) :]
