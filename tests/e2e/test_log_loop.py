"""The loop through the service, with real servers, worker and PostgreSQL: late labels lead to a better version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.log_timeline import run_log_loop
from tests.e2e.stage import Stage
from tests.e2e.timeline import timeline_lines
from tests.factories import make_project
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]


def test_late_labels_of_served_rows_lead_to_a_version_that_is_released(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Harm is found in the log, the retraining learns from served rows, and the release follows by itself."""
    moments = run_log_loop(Stage(make_project(tmp_path), postgres.address))
    with capsys.disabled():
        print("\n" + "\n".join(timeline_lines(moments)))  # noqa: T201 - the timeline is what one wants to see
    in_order = [moment.at for moment in moments]
    assert in_order == sorted(in_order)
