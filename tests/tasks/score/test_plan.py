"""A second run, a run that was stopped, an output that holds something else."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import ConfigError, RunInProgressError, SourceError
from core.score.outcome import ScoreOutcome
from store.database import open_database
from store.scored.batches import find_scored_batch, scored_batches
from tasks.score import input as inputs
from tasks.score import plan as planning
from tasks.score.part import score_part
from tasks.score.plan import plan_scoring
from tasks.score.publish import publish
from tasks.score.staging import held_output, staging_folder
from tasks.source.files import SourceFile
from tests.tasks.judging import add_data, config_of, enthrone, register_version
from tests.tasks.score.scoring import Scored, champion_project, rows_to_score

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return a file of ten row groups."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(rows_to_score(1000), preserve_index=False), path, row_group_size=100)
    return path


@pytest.mark.parametrize("name", ["scores.parquet", "scores.csv", "scores"])
def test_a_second_run_does_nothing(champion: Scored, rows: Path, tmp_path: Path, name: str) -> None:
    """It says that the output holds these predictions already; one entry is on record, with the output's digest."""
    first = champion.score(rows, tmp_path / name)
    second = champion.score(rows, tmp_path / name)
    assert (first.status, second.status) == ("scored", "unchanged")
    assert (second.id, second.sha256, second.n_scored) == (first.id, first.sha256, 1000)
    found = find_scored_batch(open_database(champion.settings.database_url), first.id)
    assert found is not None
    assert (found.model, found.version, found.output, found.n_rows) == ("credit", 1, str(tmp_path / name), 1000)
    assert not list(tmp_path.glob(".*"))


def test_another_output_is_never_overwritten(champion: Scored, rows: Path, tmp_path: Path) -> None:
    """Neither a file of someone else's, nor a result of other options, nor one that was changed."""
    (tmp_path / "other.parquet").write_text("mine")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        champion.score(rows, tmp_path / "other.parquet")
    assert (tmp_path / "other.parquet").read_text() == "mine"
    champion.score(rows, tmp_path / "scores.csv")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        champion.score(rows, tmp_path / "scores.csv", features=True)
    with (tmp_path / "scores.csv").open("a") as stream:
        stream.write("more\n")
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        champion.score(rows, tmp_path / "scores.csv")


def test_an_output_that_was_removed_is_made_again(champion: Scored, rows: Path, tmp_path: Path) -> None:
    """With the same bytes; the record stays as it was."""
    champion.score(rows, tmp_path / "scores.parquet")
    before = (tmp_path / "scores.parquet").read_bytes()
    (tmp_path / "scores.parquet").unlink()
    assert champion.score(rows, tmp_path / "scores.parquet").status == "scored"
    assert (tmp_path / "scores.parquet").read_bytes() == before


def test_the_time_is_that_of_the_request(champion: Scored, rows: Path, tmp_path: Path) -> None:
    """Or that of the newer of input and version, whenever the run starts."""
    given = champion.score(rows, tmp_path / "a.parquet", at="2026-03-01T12:00:00+02:00")
    assert given.predicted_at == "2026-03-01T10:00:00+00:00"
    one, two = (champion.score(rows, tmp_path / f"{name}.parquet") for name in "bc")
    assert one.predicted_at == two.predicted_at
    assert (tmp_path / "b.parquet").read_bytes() == (tmp_path / "c.parquet").read_bytes()


@pytest.mark.slow
def test_a_stopped_run_keeps_its_version(tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion moves while a run is stopped: what goes on is the run of the version before."""
    monkeypatch.setattr(planning, "PART_ROWS", 200)
    project = champion_project(tmp_path)
    whole = project.score(rows, tmp_path / "whole.parquet")
    request = project.request(rows, tmp_path / "scores.parquet")
    plan = plan_scoring(project.config, request, project.settings)
    assert not isinstance(plan, ScoreOutcome)
    assert len(plan.parts) == 5
    score_part(staging_folder(request, project.settings), 3, project.settings)
    register_version(project.settings, config_of("income"), add_data(project.settings, project.config))
    enthrone(project.settings, 2)
    assert project.score(rows, tmp_path / "scores.parquet").version == whole.version == 1
    assert (tmp_path / "scores.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert project.score(rows, tmp_path / "new.parquet").version == 2
    assert [one.version for one in scored_batches(open_database(project.settings.database_url), "credit", 2)] == [2, 1]


def test_a_changed_input_is_planned_again(champion: Scored, rows: Path, tmp_path: Path) -> None:
    """A stopped run goes on only with the rows it began with; a change during a run is an error."""
    request = champion.request(rows, tmp_path / "scores.parquet")
    plan = plan_scoring(champion.config, request, champion.settings)
    assert not isinstance(plan, ScoreOutcome)
    folder = staging_folder(request, champion.settings)
    done = [score_part(folder, part.number, champion.settings) for part in plan.parts]
    rows_to_score(300, seed=9).to_parquet(rows, index=False)
    with pytest.raises(SourceError, match="was changed while it was scored"):
        publish(plan, [one for one in done if one is not None], champion.settings)
    assert champion.score(rows, tmp_path / "scores.parquet").n_rows == 300


def _stopped(champion: Scored, rows: Path, output: Path) -> None:
    """Leave what a run that was killed after its plan leaves."""
    request = champion.request(rows, output)
    with held_output(request, champion.settings):
        assert not isinstance(plan_scoring(champion.config, request, champion.settings), ScoreOutcome)


def test_a_stopped_run_with_a_copy_notices_that_the_input_changed(champion: Scored, tmp_path: Path) -> None:
    """It goes on from its copy of a text file only while the file is the same."""
    rows = tmp_path / "rows.csv"
    rows_to_score(300).to_csv(rows, index=False)
    _stopped(champion, rows, tmp_path / "scores.parquet")
    rows_to_score(120).to_csv(rows, index=False)
    assert champion.score(rows, tmp_path / "scores.parquet").n_rows == 120


def test_a_stopped_run_notices_a_new_file(champion: Scored, tmp_path: Path) -> None:
    """A folder that has one file more has other rows."""
    (tmp_path / "rows").mkdir()
    rows_to_score(100).to_parquet(tmp_path / "rows" / "a.parquet", index=False)
    _stopped(champion, tmp_path / "rows", tmp_path / "scores.parquet")
    rows_to_score(50).to_parquet(tmp_path / "rows" / "b.parquet", index=False)
    assert champion.score(tmp_path / "rows", tmp_path / "scores.parquet").n_rows == 150


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_an_input_that_changes_after_its_digest_is_an_error(
    champion: Scored, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the ids of these rows would be those of other rows."""
    rows, digest = tmp_path / name, inputs.content_digest

    def write(n: int) -> None:
        frame = rows_to_score(n)
        frame.to_csv(rows, index=False) if rows.suffix == ".csv" else frame.to_parquet(rows, index=False)

    def changing(files: Sequence[SourceFile]) -> str:
        found = digest(files)
        write(70)
        return found

    write(90)
    monkeypatch.setattr(inputs, "content_digest", changing)
    with pytest.raises(SourceError, match="was changed while it was read"):
        champion.score(rows, tmp_path / "scores.parquet")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_input_written_anew_with_the_same_content_keeps_its_predictions(
    champion: Scored, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy has another time: the ids stay nevertheless, so that no row is added to a table twice."""
    monkeypatch.setenv("WAREHOUSE", f"sqlite:///{tmp_path / 'w.db'}")
    for output in (str(tmp_path / "scores.parquet"), "sql:WAREHOUSE/scores"):
        os.utime(rows, (2_000_000_000, 2_000_000_000))
        first = champion.score(rows, output)
        os.utime(rows, (2_000_000_100, 2_000_000_100))
        assert champion.score(rows, output).status == "unchanged"
        (tmp_path / "scores.parquet").unlink(missing_ok=True)
        again = champion.score(rows, output)
        assert (again.id, again.sha256, again.predicted_at) == (first.id, first.sha256, first.predicted_at)
        assert champion.score(rows, output).status == "unchanged"
    with sqlite3.connect(tmp_path / "w.db") as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (1000,)
    connection.close()


@pytest.mark.parametrize("place", ["scores.parquet", "scores", "sql:WAREHOUSE/scores", "memory://aside/scores.parquet"])
def test_rows_set_aside_that_were_removed_are_made_again(
    champion: Scored, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output without them is not whole: rows in = rows out + rows set aside."""
    import fsspec

    monkeypatch.setenv("WAREHOUSE", f"sqlite:///{tmp_path / 'w.db'}")
    rows = tmp_path / "rows.csv"
    rows_to_score(40).astype({"age": object}).assign(age="?").to_csv(rows, index=False)
    output = place if ":" in place else str(tmp_path / place)
    first = champion.score(rows, output)
    assert first.set_aside is not None
    system, path = fsspec.core.url_to_fs(first.set_aside)
    before = system.cat_file(path)
    assert champion.score(rows, output).status == "unchanged"
    system.rm_file(path)
    assert champion.score(rows, output).n_set_aside == 40
    assert system.cat_file(path) == before


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in", "in/scores.parquet"),
        ("in", "in/2026/"),
        ("in", "in"),
        ("in/*.parquet", "in/scores.parquet"),
        ("**/*.csv", "in/scores.csv"),
    ],
)
def test_an_output_among_its_input_is_refused(champion: Scored, tmp_path: Path, given: str, output: str) -> None:
    """The next run would read it as rows."""
    (tmp_path / "in").mkdir()
    rows_to_score(20).to_parquet(tmp_path / "in" / "rows.parquet", index=False)
    rows_to_score(20).to_csv(tmp_path / "in" / "rows.csv", index=False)
    with pytest.raises(ConfigError, match="would be part of the input"):
        champion.score(f"{tmp_path}/{given}", f"{tmp_path}/{output}")
    for elsewhere in ("in/_scores.parquet", "scores.parquet"):
        assert champion.score(tmp_path / "in", tmp_path / elsewhere).n_rows == 20


@pytest.mark.parametrize("given", ["memory://own/in", "memory://own/in/", "memory://own/*/*.parquet"])
def test_a_remote_output_among_its_input_is_refused(champion: Scored, tmp_path: Path, given: str) -> None:
    """By its address, without a look at the store."""
    import fsspec

    rows_to_score(20).to_parquet(tmp_path / "rows.parquet", index=False)
    fsspec.filesystem("memory").pipe_file("/own/in/rows.parquet", (tmp_path / "rows.parquet").read_bytes())
    with pytest.raises(ConfigError, match="would be part of the input"):
        champion.score(given, "memory://own/in/scores.parquet")
    for number, elsewhere in enumerate(("memory://own/scores-{}.parquet", f"{tmp_path}/scores-{{}}.parquet")):
        assert champion.score(given, elsewhere.format(f"{number}{len(given)}")).n_rows == 20


@pytest.mark.parametrize("output", ["/", "..", f"{'n' * 300}.parquet"])
def test_an_output_without_a_usable_name_is_refused(champion: Scored, rows: Path, output: str) -> None:
    """No file can have it, or no room is left for the names of the files beside it."""
    with pytest.raises(ConfigError, match="correct --output"):
        champion.score(rows, output)


def test_one_run_at_a_time_writes_an_output(champion: Scored, rows: Path, tmp_path: Path) -> None:
    """A second one is refused while the first holds it."""
    import threading

    request = champion.request(rows, tmp_path / "scores.parquet")
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with held_output(request, champion.settings):
            held.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        with pytest.raises(RunInProgressError, match="another run writes"), held_output(request, champion.settings):
            pass
    finally:
        end.set()
        thread.join()
