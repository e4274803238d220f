from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.data.version import EMPTY, pointer_text, pointer_version
from core.errors import ConfigError, DataVersionError, StorageError
from core.references import DataVersion, StagedRows
from store.data import pushed_trees
from store.database import open_database
from tasks.versions.versions import data_history, lay_out_snapshot, restore_data, version_data, write_batch
from tests.factories import credit_config, git, make_project
from tests.tasks.versions.staging import batch_files, credit_rows, stage

CREDIT = credit_config()
CHURN = credit_config(model="churn")

Ingest = Callable[..., DataVersion]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


@pytest.fixture
def ingest(settings: Settings, tmp_path: Path) -> Ingest:
    """Land and version the little credit model's rows from one number to another."""

    def ingested(first: int, last: int, config: ModelConfig = CREDIT, to: Settings | None = None) -> DataVersion:
        write_batch(stage(credit_rows(first, last), tmp_path), config, to or settings)
        return version_data(config, to or settings)

    return ingested


def clone(settings: Settings, folder: Path, *, commit: bool = True) -> Settings:
    """Clone with git alone; the remote is the first project's, everything else is missing."""
    if commit:
        git(settings.root, "add", "data.dvc")
        git(settings.root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message=data")
    git(folder, "clone", "--quiet", str(settings.root), "clone")
    root = folder / "clone"
    return settings.model_copy(
        update={
            "root": root,
            "var": root / "var",
            "database_url": f"sqlite:///{root / 'var' / 'perennial.db'}",
            "data_remote": str(settings.var / "dvc-remote"),
        }
    )


def remote_objects(settings: Settings) -> list[Path]:
    """Files on the default remote."""
    return sorted(path for path in (settings.var / "dvc-remote").rglob("*") if path.is_file())


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own 'add', which only this test calls
def test_a_version_is_what_dvc_computes(settings: Settings, ingest: Ingest) -> None:
    """Where DVC adds ``data/`` itself it writes the same ``data.dvc``, byte for byte."""
    from dvc.repo import Repo

    version = ingest(0, 50)
    (settings.root / "data.dvc").unlink()
    Repo(str(settings.root), config={"core": {"no_scm": True, "site_cache_dir": str(settings.var)}}).add(
        str(settings.root / "data")
    )
    assert (settings.root / "data.dvc").read_text() == version.pointer
    assert (version.n_rows, version.n_batches) == (50, 1)


def test_the_git_tree_is_not_touched(settings: Settings, ingest: Ingest) -> None:
    """Nothing is staged, committed, checked out or written but ``data.dvc``."""
    head = git(settings.root, "rev-parse", "HEAD")
    ingest(0, 50)
    assert git(settings.root, "rev-parse", "HEAD") == head
    assert git(settings.root, "status", "--porcelain") == "?? data.dvc\n"


def test_a_repeat_does_nothing_and_imports_no_dvc(settings: Settings, ingest: Ingest) -> None:
    """With everything pushed a second call is answered from ``data.dvc``, the cache's tree and the database."""
    first = ingest(0, 50)
    before = remote_objects(settings)
    (settings.root / ".dvc" / "tmp" / "marker").touch()
    code = (
        "import sys; from tasks.versions.versions import version_data; from config.settings import Settings;"
        "from tests.factories import credit_config;"
        f"s = Settings.model_validate_json({settings.model_dump_json()!r});"
        "print(version_data(credit_config(), s).version, 'dvc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == f"{first.version} False\n"
    assert remote_objects(settings) == before


def test_no_version_without_a_batch(settings: Settings) -> None:
    """There is nothing to version before the first ingestion."""
    with pytest.raises(DataVersionError, match="ingest rows first"):
        version_data(CREDIT, settings)


def test_models_share_data_dvc(settings: Settings, ingest: Ingest) -> None:
    """Each model's version is its own; ``data.dvc`` names the batches of all."""
    credit = ingest(0, 50)
    churn = ingest(0, 50, CHURN)
    assert churn.version == credit.version, "the same files have the same version"
    assert "nfiles: 2" in churn.pointer
    assert ingest(0, 60).version != credit.version
    assert data_history("churn", settings).current == churn.version


def test_a_clone_that_pulled_nothing_keeps_other_models(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """Ingesting one model in a fresh clone leaves the other models' entries in ``data.dvc``."""
    churn = ingest(0, 20, CHURN)
    ingest(0, 50)
    fresh = clone(settings, tmp_path)
    version = ingest(0, 60, to=fresh)
    assert version.n_batches == 2, "the batch that data.dvc names was brought back first"
    assert "nfiles: 3" in version.pointer
    restored = restore_data("churn", churn.version, fresh)
    assert [path.read_bytes() for path in restored] == list(batch_files(settings, "churn").values())


def test_ingesting_in_a_fresh_clone_continues_the_history(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """The same rows make no second batch in a clone that has no data yet."""
    version = ingest(0, 50)
    fresh = clone(settings, tmp_path)
    assert ingest(0, 50, to=fresh).version == version.version
    assert batch_files(fresh) == batch_files(settings)


def test_a_pointer_to_lost_data_is_replaced_with_a_warning(
    settings: Settings, ingest: Ingest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A clone whose ``data.dvc`` names what no remote has says so and goes on with what it has."""
    ingest(0, 50)
    fresh = clone(settings, tmp_path).model_copy(update={"data_remote": str(tmp_path / "other")})
    with caplog.at_level(logging.WARNING, "perennial.data"):
        version = ingest(0, 10, to=fresh)
    assert version.n_batches == 1
    assert "neither DVC's cache nor the remote" in caplog.text


def test_a_merge_conflict_in_data_dvc_is_the_users_to_resolve(settings: Settings, ingest: Ingest) -> None:
    """With two versions between conflict markers nothing is guessed."""
    one = ingest(0, 50).pointer
    (settings.root / "data.dvc").write_text(f"<<<<<<< ours\n{one}=======\n{pointer_text(EMPTY, 0, 0)}>>>>>>> theirs\n")
    with pytest.raises(DataVersionError, match="resolve the merge"):
        ingest(0, 60)


def test_restoring_brings_the_exact_bytes_into_a_fresh_clone(
    settings: Settings, ingest: Ingest, tmp_path: Path
) -> None:
    """An older version comes back by the first digits of its hash, with git and the remote alone."""
    old = ingest(0, 50)
    wanted = batch_files(settings)
    ingest(0, 80)
    fresh = clone(settings, tmp_path)
    paths = restore_data("credit", old.version[:8], fresh)
    assert batch_files(fresh) == wanted
    assert [path.name for path in paths] == list(wanted)
    assert version_data(CREDIT, fresh).version == old.version
    assert git(fresh.root, "status", "--porcelain") == " M data.dvc\n"
    restore_data("credit", old.version, fresh)
    assert batch_files(fresh) == wanted


def test_latest_is_the_newest_recorded_version_not_the_committed_one(
    settings: Settings, ingest: Ingest, tmp_path: Path
) -> None:
    """A worker's clone gets what runs versioned since; one without our database gets what was committed."""
    assert restore_data("credit", "latest", settings) == []
    ingest(0, 40)
    committed = batch_files(settings, "credit")
    fresh = clone(settings, tmp_path)
    ingest(40, 60)
    assert [path.read_bytes() for path in restore_data("credit", "latest", fresh)] == list(committed.values())
    worker = fresh.model_copy(update={"database_url": settings.database_url})
    newest = list(batch_files(settings, "credit").values())
    assert [path.read_bytes() for path in restore_data("credit", "latest", worker)] == newest
    assert len(newest) == 2


def test_restoring_refuses_to_lose_unversioned_files(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """A batch that no cache or remote has stays unless it is given up by force."""
    version = ingest(0, 50)
    write_batch(stage(credit_rows(0, 70), tmp_path), CREDIT, settings)
    with pytest.raises(DataVersionError, match="would be lost"):
        restore_data("credit", version.version, settings)
    assert len(batch_files(settings)) == 2
    restore_data("credit", version.version, settings, force=True)
    assert len(batch_files(settings)) == 1


def test_an_unknown_version_lists_the_known_ones(settings: Settings, ingest: Ingest) -> None:
    """A wrong name is answered with the right ones."""
    known = ingest(0, 50).version
    for wrong, match in (
        ("abcdef", "starts with 'abcdef'"),
        ("f" * 32, "has data version"),
        ("../x", "expected 32 hex"),
    ):
        with pytest.raises(DataVersionError, match=match) as caught:
            lay_out_snapshot("credit", wrong, settings)
        assert known.removesuffix(".dir") in str(caught.value)


def test_a_version_of_another_model_is_refused(settings: Settings, ingest: Ingest) -> None:
    """A model is not trained on another one's data by a mistaken paste."""
    other = ingest(0, 30, CHURN)
    ingest(0, 50)
    with pytest.raises(DataVersionError, match="belongs to the model 'churn'"):
        restore_data("credit", other.version, settings)


def test_the_tree_of_all_models_is_no_version_of_one(settings: Settings, ingest: Ingest) -> None:
    """The hash in ``data.dvc`` names all models' data: it is refused with the versions that fit."""
    pointed = pointer_version(ingest(0, 50).pointer)
    with pytest.raises(DataVersionError, match="contains files that are no batches"):
        lay_out_snapshot("credit", str(pointed), settings)


def test_a_lost_remote_keeps_the_batch_and_the_next_run_pushes_it(
    settings: Settings, ingest: Ingest, tmp_path: Path
) -> None:
    """A remote folder that vanished is not silently made again; once it is back everything is pushed."""
    ingest(0, 50)
    remote = settings.var / "dvc-remote"
    remote.rename(tmp_path / "unmounted")
    before = (settings.root / "data.dvc").read_text()
    with pytest.raises(StorageError, match="'local' is missing"):
        ingest(0, 60)
    assert len(batch_files(settings)) == 2
    assert (settings.root / "data.dvc").read_text() == before, "data.dvc never names what the remote lacks"
    (tmp_path / "unmounted").rename(remote)
    version = ingest(0, 60)
    assert version.n_batches == 2
    assert restore_data("credit", version.version, clone(settings, tmp_path))


def test_a_remote_started_afresh_gets_everything_again(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """What the database remembers as pushed is not believed of an empty folder."""
    ingest(0, 20, CHURN)
    version = ingest(0, 50)
    shutil.rmtree(settings.var / "dvc-remote")
    (settings.var / "dvc-remote").mkdir()
    version_data(CREDIT, settings)
    fresh = clone(settings, tmp_path)
    assert restore_data("credit", version.version, fresh)
    assert ingest(0, 20, CHURN, fresh).n_batches == 1


def test_another_remote_by_setting(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """``data_remote`` takes the place of the configured address, relative to the project."""
    elsewhere = settings.model_copy(update={"data_remote": "../elsewhere"})
    ingest(0, 50, to=elsewhere)
    assert (tmp_path / "elsewhere" / "files" / "md5").is_dir()
    assert not (settings.var / "dvc-remote").exists()
    ingest(0, 50)
    assert (settings.var / "dvc-remote").is_dir()
    assert pushed_trees(open_database(settings.database_url), str(tmp_path / "elsewhere"))


@pytest.mark.parametrize("address", ["blocked/store", "nowhere/at/all"])
def test_a_remote_that_cannot_be_written_is_named(settings: Settings, ingest: Ingest, address: str) -> None:
    """The message names the remote and what to do."""
    (settings.root / "blocked").write_text("a file, not a folder")
    with pytest.raises(StorageError, match=address) as caught:
        ingest(0, 50, to=settings.model_copy(update={"data_remote": address}))
    assert "run the same command again" in str(caught.value)
    assert len(batch_files(settings)) == 1


def test_a_remote_without_its_plug_in_says_which(settings: Settings, ingest: Ingest) -> None:
    """An address of a kind that is not installed names the missing piece."""
    with pytest.raises(ConfigError, match="requires 'dvc-gs'"):
        ingest(0, 50, to=settings.model_copy(update={"data_remote": "gs://bucket/x"}))


def test_a_project_without_dvc_configuration_says_so(settings: Settings, ingest: Ingest) -> None:
    """A missing or remote-less configuration is the user's to add."""
    config = settings.root / ".dvc" / "config"
    config.write_text("[core]\n    analytics = false\n")
    with pytest.raises(ConfigError, match="no default remote"):
        ingest(0, 50)
    config.write_text("[core]\n    nonsense = 1\n")
    with pytest.raises(ConfigError, match="not valid"):
        ingest(0, 50)
    config.unlink()
    with pytest.raises(ConfigError, match=r"no \.dvc/config"):
        ingest(0, 50)


def test_a_project_of_a_group_stays_the_groups(settings: Settings, ingest: Ingest) -> None:
    """DVC would create folders of cache and remote that only their creator can add to."""
    for folder in (settings.root, settings.root / ".dvc"):
        folder.chmod(0o2775)
    before = os.umask(0o002)
    try:
        ingest(0, 20)
    finally:
        os.umask(before)
    folders = [path for store in (".dvc/cache", "var/dvc-remote") for path in (settings.root / store).rglob("*/")]
    assert len(folders) > 4
    assert {path.stat().st_mode & 0o7777 for path in folders} == {0o2775}


def test_a_project_without_git_works(settings: Settings, ingest: Ingest) -> None:
    """An unpacked archive has no repository: the commit stays empty, everything else works."""
    shutil.rmtree(settings.root / ".git")
    version = ingest(0, 50)
    assert lay_out_snapshot("credit", version.version, settings).n_rows == 50
    assert data_history("credit", settings).versions[0].git_commit == ""


def test_the_history_tells_versions_and_batches(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """Versions oldest first with their commit, batches in order with rows set aside and period."""
    dated = credit_config(time="at")
    write_batch(_dated(tmp_path), dated, settings, n_quarantined=3)
    first = version_data(dated, settings)
    second = ingest(0, 50)
    history = data_history("credit", settings)
    assert [entry.version for entry in history.versions] == [first.version, second.version]
    assert (history.current, history.versions[0].git_commit) == (
        second.version,
        git(settings.root, "rev-parse", "HEAD").strip(),
    )
    assert [(batch.n_rows, batch.n_quarantined) for batch in history.batches] == [(2, 3), (48, 0)]
    assert str(history.batches[0].first_time) == "2024-01-01 00:00:00"
    assert str(history.batches[0].last_time) == "2024-03-05 06:07:08.900000"
    assert history.to_dict()["versions"][1]["n_rows"] == 50


def test_the_history_of_a_fresh_clone(settings: Settings, ingest: Ingest, tmp_path: Path) -> None:
    """Before anything is pulled ``data.dvc`` tells the version; afterwards the files tell the batches."""
    version = ingest(0, 50)
    fresh = clone(settings, tmp_path)
    (entry,) = data_history("credit", fresh).versions
    assert (entry.version, entry.n_batches, entry.n_rows) == (version.version, 1, None)
    restore_data("credit", version.version, fresh)
    history = data_history("credit", fresh)
    assert (history.current, history.versions[0].n_rows) == (version.version, 50)
    assert (history.batches[0].source, history.batches[0].ingested_at) == ("rows.csv", None)


def test_nothing_is_known_of_a_model_without_data(settings: Settings) -> None:
    """A model that never ingested has an empty history, not an error."""
    history = data_history("credit", settings)
    assert (history.versions, history.batches, history.current) == ((), (), None)


def _dated(folder: Path) -> StagedRows:
    from datetime import datetime

    import pyarrow as pa

    from tests.tasks.versions.staging import TYPES

    rows = credit_rows(0, 2)
    rows[0]["at"], rows[1]["at"] = datetime(2024, 1, 1), datetime(2024, 3, 5, 6, 7, 8, 900_000)
    return stage(rows, folder, schema=TYPES.append(pa.field("at", pa.timestamp("us"))))
