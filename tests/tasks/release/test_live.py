"""Releases of each kind of model through a real service with two workers: a better version, and a worse one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from store.champions import champion_history
from tests.factories import make_project
from tests.postgres import postgres_server
from tests.tasks.release.live import MODEL, Trial, trial

pytestmark = pytest.mark.slow

BETTER, WORSE = {"regression": 10.0}, {"regression": 1e-9}


def _answered(of: Trial) -> Counter[tuple[str, int]]:
    assert {status for status, _ in of.answers} == {200}
    assert of.broken == 0
    return Counter((found["variant"], found["version"]) for _, found in of.answers)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_better_version_is_released_and_a_worse_one_is_not(tmp_path: Path, task: str) -> None:
    """Shadow, half, all, completed, each by the labels; then a worse version ends in the shadow or at its share."""
    with trial(make_project(tmp_path), task) as one:
        one.begin(one.register("b", BETTER.get(task, 1.0)))
        looks = one.follow()
        moves = [look.status for look in looks if look.status != "held"]
        assert moves == ["advanced", "promoted", "completed"], [look.reasons for look in looks]
        checks = {check["name"]: check for check in looks[-1].checks}
        assert checks["performance"]["state"] == "ok"
        assert checks["predictions"]["estimate"] is not None
        answered = _answered(one)
        assert answered["challenger", 2] > 100
        assert answered["champion", 2] > 100
        one.answers.clear()
        one.begin(one.register("c", WORSE.get(task, 1e-7)))
        looks = one.follow()
        assert looks[-1].status == "rolled_back"
        assert any("guardrail is breached" in reason for reason in looks[-1].reasons)
        assert set(_answered(one)) <= {("champion", 2), ("challenger", 3)}
        assert [entry.version for entry in champion_history(one.engine, MODEL)] == [1, 2]


def test_a_version_with_a_further_class_is_released_on_postgresql(tmp_path: Path) -> None:
    """Its classes have another order, too: by place "low" would be "high", and a look would fail on the third one."""
    with postgres_server() as server:
        settings = make_project(tmp_path).model_copy(update={"database_url": server.address})
        with trial(settings, "multiclass", ["low", "middle"]) as one:
            one.begin(one.register("b", 1.0))
            looks = one.follow()
            moves = [look.status for look in looks if look.status != "held"]
            assert moves == ["advanced", "promoted", "completed"], [look.reasons for look in looks]
            assert _answered(one)["champion", 2] > 100
            assert [entry.version for entry in champion_history(one.engine, MODEL)] == [1, 2]
            reason = next(look.reasons for look in looks if look.status == "advanced")
            assert any("PSI of the predictions" in one for one in reason)
