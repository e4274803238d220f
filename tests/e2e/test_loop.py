"""The whole loop, with real servers, worker and PostgreSQL: drifted rows land, and a better version answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.stage import Stage
from tests.e2e.timeline import run_loop, timeline_lines
from tests.factories import make_project
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]


def test_drifted_rows_lead_to_a_better_version_that_answers(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody does anything after the rows have landed; each arrow is printed with its seconds."""
    moments = run_loop(Stage(make_project(tmp_path), postgres.address))
    with capsys.disabled():
        print("\n" + "\n".join(timeline_lines(moments)))  # noqa: T201 - the timeline is what one wants to see
    # Prefect may act on the event before its receipt is recorded here.
    in_order = [moment.at for moment in moments if moment.step != "Prefect has the event"]
    assert in_order == sorted(in_order)
