"""Whatever is killed, each trigger has one run and one version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.chaos import Killer, Sender, Tally, add_small_model, all_runs, await_answer, grow, hook_secrets, tally
from tests.e2e.stage import Stage, platform
from tests.factories import make_project
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]


def test_each_trigger_has_one_run_and_one_version_whatever_is_killed(tmp_path: Path, postgres: PostgresServer) -> None:
    """Two triggers, six kills at random moments, then a hundred replays, fifty at once: two runs, two versions.

    The same at length, with a hundred kills and a thousand replays, is ``python -m benchmarks.exactly_once``.
    """
    stage = Stage(make_project(tmp_path), postgres.address, hook_secrets())
    add_small_model(stage)
    ids = ["msg_1", "msg_2"]
    with platform(stage):
        sender = Sender.of(stage)
        for number, one in enumerate(ids):
            grow(stage, number)
            killer = Killer(stage, kills=3, span=20, seed=number)
            killer.start()
            sender.deliver(one)
            await_answer(stage, one, seconds=300)
            killer.end()
        sender.replay(ids, times=50)
        assert tally(stage, ids) == dict.fromkeys(ids, Tally(runs=1, versions=1))
        assert all_runs(stage) == len(ids)
        assert set(sender.answers) <= {0, 202, 503}
