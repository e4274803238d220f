"""The flow ``ingest`` on a real Prefect server, real DVC and real Great Expectations."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from config.settings import Settings
from core.errors import ConfigError, RunInProgressError, SchemaError
from core.outcome import IngestOutcome
from tasks.init.model_file import init_model
from tasks.runs.lock import hold_model
from tasks.versions.working_copy import batch_facts
from tests.factories import add_credit_model, credit_rows, git

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]

Ingest = Callable[..., IngestOutcome]


@pytest.fixture
def ingest(prefect_api: str) -> Ingest:
    """Return the flow, imported once its server is known."""
    assert prefect_api
    from flows.ingest import ingest

    return ingest


def _batches(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.root / "data" / "credit").glob("*"))


def test_rows_become_one_version_however_often_they_are_read(ingest: Ingest, project: Settings) -> None:
    """The first run writes a batch, the second finds it, and git sees data.dvc and the new files only."""
    add_credit_model(project)
    first, second = ingest("credit"), ingest("credit")
    assert (first.is_new, second.is_new) == (True, False)
    assert first.data_version == second.data_version
    assert len(_batches(project)) == 1
    assert (project.root / "data.dvc").is_file()
    assert git(project.root, "log", "--oneline").count("\n") == 1
    assert Path(first.links["validation report"]).is_file()


def test_a_grown_file_gives_a_batch_of_the_new_rows(ingest: Ingest, project: Settings) -> None:
    """With a unique key, only rows that are not there yet land in the second batch."""
    add_credit_model(project)
    ingest("credit")
    add_credit_model(project, pd.concat([credit_rows(), credit_rows(50, seed=2)]))
    outcome = ingest("credit")
    assert outcome.is_new
    files = sorted((project.root / "data" / "credit").glob("*.parquet"))
    assert [len(pd.read_parquet(path)) for path in files] == [800, 50]


def test_rows_without_any_label_are_a_batch_of_their_own(ingest: Ingest, project: Settings) -> None:
    """Labels may arrive late; only the first rows of a model must have some."""
    late = credit_rows(50, seed=2).assign(default=None)
    add_credit_model(project, late)
    with pytest.raises(SchemaError, match="a model's first rows need labels"):
        ingest("credit")
    add_credit_model(project)
    ingest("credit")
    add_credit_model(project, late)
    assert ingest("credit").accepted
    assert [pd.read_parquet(path)["default"].count() for path in _files(project)] == [800, 0]


def _files(project: Settings) -> list[Path]:
    return sorted((project.root / "data" / "credit").glob("*.parquet"))


def test_a_file_that_joins_a_folder_adds_its_rows_only(ingest: Ingest, project: Settings) -> None:
    """Without a key, the rows of the other files are known; repeated rows of one file are kept."""
    add_credit_model(project, source={"uri": "raw"}, key=None, features={"ignored": ["id"]})
    (project.root / "raw").mkdir()
    january = pd.concat([credit_rows(), credit_rows(20)])
    january.to_csv(project.root / "raw" / "january.csv", index=False)
    first = ingest("credit")
    credit_rows(60, seed=2).to_csv(project.root / "raw" / "february.csv", index=False)
    second, third = ingest("credit"), ingest("credit")
    assert [(outcome.n_new, outcome.n_known) for outcome in (first, second, third)] == [(820, 0), (60, 820), (0, 880)]
    assert "880 rows: 820 known from earlier batches and left out, 60 new" in second.reasons
    assert third.data_version == second.data_version


def test_rows_that_fail_an_expectation_are_set_aside_with_the_reason(ingest: Ingest, project: Settings) -> None:
    """Within the allowed share the batch goes on without them."""
    rows = credit_rows()
    rows.loc[:4, "age"] = 7
    add_credit_model(project, rows)
    outcome = ingest("credit")
    assert (outcome.accepted, outcome.n_rows, outcome.n_quarantined) == (True, 800, 5)
    aside = pd.read_parquet(outcome.links["rows set aside"])
    assert len(aside) == 5
    assert aside["reason"].str.contains("age").all()


def test_a_column_that_nobody_declared_is_told(ingest: Ingest, project: Settings) -> None:
    """It is left behind, and both the answer and the batch say so."""
    add_credit_model(project, credit_rows().assign(notes="x"))
    outcome = ingest("credit")
    assert "dropped, because the model file does not declare it: notes" in outcome.reasons
    assert batch_facts(project.root / "data" / "credit" / f"{outcome.batch}.parquet").undeclared == ("notes",)


INGEST = """
import sys
from flows.ingest import ingest
outcome = ingest(sys.argv[1])
libraries = {"great_expectations", "mlflow", "evidently", "sklearn", "scipy"}
print("imported:", outcome.n_quarantined, *sorted(libraries & sys.modules.keys()))
"""


def test_an_inferred_suite_imports_no_library(prefect_api: str, project: Settings) -> None:
    """Only an expectation of another type imports Great Expectations, and then both kinds are evaluated."""
    assert prefect_api
    source = project.root / "loans.csv"
    credit_rows(400).to_csv(source, index=False)
    init_model(str(source), "default", project, key="id")
    assert _imported("loans") == ["0"]
    credit_rows(400, seed=3).assign(id=[f"later {row}" for row in range(400)]).to_csv(source, index=False)
    suite = project.root / "config" / "expectations" / "loans.json"
    content = json.loads(suite.read_text())
    content["expectations"].append(
        {
            "type": "expect_column_values_to_not_be_in_set",
            "kwargs": {"column": "id", "value_set": ["later 7", "later 9"]},
            "meta": {"level": "row"},
        }
    )
    suite.write_text(json.dumps(content))
    n_quarantined, *libraries = _imported("loans")
    assert n_quarantined == "2"
    assert "great_expectations" in libraries


def _imported(model: str) -> list[str]:
    """Ingest in a process of its own; return the number of rows set aside, and the libraries that it imported."""
    command = [sys.executable, "-c", INGEST, model]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return answer.rpartition("imported: ")[2].split()


def test_too_many_failing_rows_refuse_the_batch(ingest: Ingest, project: Settings) -> None:
    """Nothing is written and nothing is versioned, and the answer says why."""
    rows = credit_rows()
    rows.loc[:100, "age"] = 7
    add_credit_model(project, rows)
    outcome = ingest("credit")
    assert not outcome.accepted
    assert outcome.data_version is None
    assert "101" in " ".join(outcome.reasons)
    assert _batches(project) == []
    assert not (project.root / "data.dvc").exists()


def test_rows_that_cannot_be_read_leave_nothing_behind(ingest: Ingest, project: Settings) -> None:
    """A typed error reaches the caller through Prefect as it is."""
    add_credit_model(project, credit_rows().drop(columns="income"))
    with pytest.raises(SchemaError, match="income"):
        ingest("credit")
    assert _batches(project) == []
    assert list((project.var / "work").rglob("*.parquet")) == []


def test_a_suite_of_other_kinds_stops_the_run_before_the_rows_are_read(ingest: Ingest, project: Settings) -> None:
    """The column ``age`` has moved, its range has stayed; the source does not even exist."""
    add_credit_model(project, features={"numeric": ["income"], "ignored": ["age"]})
    (project.root / "rows.csv").unlink()
    with pytest.raises(ConfigError, match=r"expectations\[2\].*expects numbers, but age contains text"):
        ingest("credit")


def test_one_run_per_model_at_a_time(ingest: Ingest, project: Settings) -> None:
    """A second run says who holds the model."""
    add_credit_model(project)
    with hold_model("credit", project), pytest.raises(RunInProgressError, match="process"):
        _in_another_thread(lambda: ingest("credit"))


def _in_another_thread(call: Callable[[], object]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()
