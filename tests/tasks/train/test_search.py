from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from config.schema import Search
from core.errors import TrainingError
from core.train.search_space import search_space
from tasks.train.search import Params, Scores, SearchSummary, search_params

SPACE = {"x": [-5.0, 5.0], "n": [1, 100], "kind": {"choices": ["a", "b", ["c", "d"]]}}


def score(params: Params) -> Scores:
    """Score a candidate by a formula whose best is x = 1, n = 30, kind 'b'."""
    loss = (params["x"] - 1) ** 2 + (params["n"] / 30 - 1) ** 2 + (params["kind"] != "b")
    return {"rmse": (loss, loss + 0.1)}


def search_in(folder: Path, n_trials: int, run: Any = score, **changes: Any) -> SearchSummary:
    """Search the formula with a journal in a folder."""
    options: dict[str, Any] = {"metric": "rmse", "greater_is_better": False, "start": {}, "seed": 3} | changes
    budget = Search(space=SPACE, trials=n_trials, sampler=options.pop("sampler", "tpe"))
    return search_params(budget, search_space(SPACE), run, journal=folder / "search.log", **options)


def test_search_finds_what_is_there(tmp_path: Path) -> None:
    """Forty candidates come near the best; scores and values are those of the best candidate."""
    found = search_in(tmp_path, 40)
    assert found.n_trials == 40
    assert found.params["kind"] == "b"
    assert found.scores == score(found.params)
    assert found.scores["rmse"][0] < 0.5


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_same_seed_tries_the_same(tmp_path: Path, sampler: str) -> None:
    """Two searches with one seed find the same, another seed tries others."""
    (tmp_path / "other").mkdir()
    one, again, other = (
        search_in(tmp_path / name, 15, sampler=sampler, seed=seed) for name, seed in (("a", 1), ("b", 1), ("other", 2))
    )
    assert one.params == again.params != other.params


def test_configured_values_are_the_first_candidate(tmp_path: Path) -> None:
    """A search never returns worse than what was configured."""
    start = {"x": 1.0, "n": 30, "kind": "b", "unsearched": 5}
    found = search_in(tmp_path, 3, start=start)
    assert found.params == {"x": 1.0, "n": 30, "kind": "b"}


def test_finished_search_is_not_repeated(tmp_path: Path) -> None:
    """With the journal of a finished search no candidate is tried again; a larger budget goes on from there."""
    found = search_in(tmp_path, 12)

    def forbidden(params: Params) -> Scores:
        raise AssertionError(params)

    assert search_in(tmp_path, 12, forbidden) == found
    assert search_in(tmp_path, 14).n_trials == 14


def test_candidate_that_cannot_be_fitted_is_passed_over(tmp_path: Path) -> None:
    """It counts against the budget and the search goes on; if all fail, the last reason is told."""

    def picky(params: Params) -> Scores:
        if params["n"] > 50:
            raise TrainingError("n is too large")
        return score(params)

    found = search_in(tmp_path / "some", 12, picky)
    assert 0 < found.n_failed < found.n_trials == 12
    assert found.params["n"] <= 50

    def refusing(params: Params) -> Scores:
        raise TrainingError(f"{params['n']} is never right")

    with pytest.raises(TrainingError, match=r"none of 3 candidates .* is never right"):
        search_in(tmp_path / "none", 3, refusing)


def test_minutes_end_a_search_after_one_candidate_at_least(tmp_path: Path) -> None:
    """A budget smaller than one candidate still gives a model."""

    def slowly(params: Params) -> Scores:
        time.sleep(0.01)
        return score(params)

    found = search_params(
        Search(space=SPACE, minutes=1e-6),
        search_space(SPACE),
        slowly,
        metric="rmse",
        greater_is_better=False,
        start={},
        seed=0,
        journal=tmp_path / "search.log",
    )
    assert found.n_trials == 1


def test_torn_line_is_dropped(tmp_path: Path) -> None:
    """What a killed process wrote of its last line does not spoil the journal."""
    found = search_in(tmp_path, 8)
    journal = tmp_path / "search.log"
    journal.write_bytes(journal.read_bytes()[:-40])
    assert search_in(tmp_path, 8).params == found.params
    assert search_in(tmp_path, 10).n_trials == 10


def test_killed_search_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """After kill -9 in the middle, the same search ends with the same candidate as one that was never interrupted."""
    whole = search_in(tmp_path / "whole", 14)
    program = f"""
        import time
        from pathlib import Path
        from tests.tasks.train.test_search import score, search_in

        def slowly(params):
            time.sleep(0.1)
            return score(params)

        search_in(Path({str(tmp_path / "killed")!r}), 14, slowly)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=Path(__file__).parents[3])
    journal = tmp_path / "killed" / "search.log"
    deadline = time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 6):
        assert time.monotonic() < deadline, "the search did not start"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert journal.read_bytes().count(b"\n") < 14
    resumed = search_in(tmp_path / "killed", 14)
    assert (resumed.params, resumed.scores) == (whole.params, whole.scores)
