"""MLflow's tables, read without MLflow, say what its client says; where they are others, the client is asked."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from config.platform import PlatformState, write_platform
from config.settings import Settings
from core.errors import StorageError
from tasks.registry.contents import AskedContents, Contents, registry_contents
from tasks.registry.tables import RegistryTables, open_tables
from tests.tasks.registration import judged, register


def tables(settings: Settings) -> RegistryTables:
    """Return the registry's tables, which must be readable."""
    found = open_tables(settings)
    assert found is not None
    return found


def read(contents: Contents) -> list[object]:
    """Everything that is read from a registry about the model ``credit``; MLflow's searches give no aliases."""
    numbers = [version.version for version in contents.versions("credit")]
    versions = [contents.version("credit", number) for number in [*numbers, 99]]
    runs = [contents.run(version.run_id) for version in versions if version is not None]
    files = [contents.files(version.tags["perennial.model_id"]) for version in versions if version is not None]
    tagged = [version.version for version in contents.tagged("credit", "perennial.run_key", "b" * 64)]
    return [contents.models(), numbers, versions, runs, files, tagged, contents.aliases("credit"), contents.run("0")]


def test_the_tables_say_what_the_client_says(registry: Settings, client: MlflowClient) -> None:
    """Versions with tags and aliases, runs with metrics that are no numbers, files; not what was deleted."""
    for key, passed in (("a", False), ("b", True), ("c", True), ("d", True)):
        made = judged(registry, key, passed=passed)
        client.log_batch(made.run_id, [Metric("odd", float("nan"), 1, 0), Metric("endless", float("inf"), 1, 0)])
    client.delete_model_version("credit", "1")
    client.delete_run(str(client.get_model_version("credit", "2").run_id))
    client.set_registered_model_alias("credit", "pinned", "4")
    client.create_registered_model("Someone's model")
    client.register_prompt("greeting", "say hello")
    expected, found = read(AskedContents(client, registry)), read(tables(registry))
    assert str(found) == str(expected)  # a metric that is no number differs from itself
    assert found[0] == ["Someone's model", "credit"]
    assert found[1] == [2, 3, 4]
    assert found[5] == [2]


def test_what_is_not_there_is_nothing(registry: Settings) -> None:
    """A model, a version, an alias or a run that is gone is no error."""
    contents = tables(registry)
    assert (contents.models(), contents.versions("credit"), contents.aliases("credit")) == ([], [], {})
    assert contents.version("cred'it", 1) is None
    assert contents.tagged("credit", "perennial.run_key", "x") == []
    assert contents.files("m-0") is None


def test_files_elsewhere_are_not_listed(registry: Settings, client: MlflowClient, tmp_path: Path) -> None:
    """Who can write MLflow's database could name any folder of this machine; MLflow lists what is not ours."""
    register(registry)
    model_id = client.get_model_version("credit", "1").tags["perennial.model_id"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    for location in (outside.as_uri(), f"{registry.var.as_uri()}/mlruns/../..", "s3://bucket/x", ""):
        write(registry, "UPDATE logged_models SET artifact_location = ?", location)
        assert tables(registry).files(model_id) is None


def write(settings: Settings, statement: str, *values: object) -> None:
    """Write MLflow's database without MLflow."""
    with closing(sqlite3.connect(settings.var / "mlflow.db")) as connection:
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = 'ffffffffffff'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
def test_tables_of_another_release_are_left_to_mlflow(registry: Settings, statement: str) -> None:
    """Its client says what is wrong with them."""
    write(registry, statement)
    assert open_tables(registry) is None
    with pytest.raises(StorageError, match="MLflow at sqlite"):
        registry_contents(registry).models()


def test_what_is_no_database_is_left_to_mlflow(registry: Settings) -> None:
    """A damaged file and an address of another kind are its client's to refuse."""
    (registry.var / "mlflow.db").write_text("no database " * 100)
    gone = f"sqlite:///{registry.var / 'gone.db'}"
    for address in (
        registry.mlflow_uri,
        gone,
        "sqlite://",
        "nonsense",
        "mysql://root@127.0.0.1:9/x",
        "http://127.0.0.1:9",
    ):
        assert open_tables(registry.model_copy(update={"mlflow_uri": address})) is None
    with pytest.raises(StorageError, match="MLflow at sqlite"):
        registry_contents(registry)


def test_a_table_that_fails_later_is_an_error_of_storage(registry: Settings) -> None:
    """The message names MLflow, its address and what to do."""
    contents = tables(registry)
    write(registry, "DROP TABLE registered_model_aliases")
    with pytest.raises(StorageError, match=r"MLflow at sqlite.* failed: .*no such table.*\n.*PERENNIAL_MLFLOW_URI"):
        contents.aliases("credit")


def test_a_file_that_others_could_read_is_closed(registry: Settings) -> None:
    """As MLflow's client does it: an earlier release created the database with the mode of SQLite."""
    database = registry.var / "mlflow.db"
    database.chmod(0o644)
    tables(registry)
    assert database.stat().st_mode & 0o007 == 0


def test_the_platforms_server_is_not_asked_for_what_its_database_says(registry: Settings) -> None:
    """Also while that server hangs, a list of models is there at once."""
    judged(registry)
    served = registry.model_copy(update={"mlflow_uri": "http://127.0.0.1:9"})
    assert open_tables(served) is None
    state = PlatformState(
        id="test",
        pid=os.getpid(),
        created=psutil.Process().create_time(),
        ready=True,
        socket="",
        pool="",
        runs_at_once=1,
        serving_port=1,
        prefect_api_url="",
        mlflow_uri=served.mlflow_uri,
        mlflow_store=registry.mlflow_uri,
        database_url=registry.database_url,
    )
    write_platform(registry.var, state)
    assert tables(served).aliases("credit") == {"champion": 1}


def test_reading_imports_no_mlflow(registry: Settings) -> None:
    """Nor anything else that takes long."""
    judged(registry)
    code = (
        "import sys; from pathlib import Path; from config.settings import Settings\n"
        "from tasks.registry.versions import list_models, show_model\n"
        f"settings = Settings(root=Path({str(registry.root)!r}), var=Path({str(registry.var)!r}), "
        f"database_url={registry.database_url!r}, mlflow_uri={registry.mlflow_uri!r})\n"
        "assert list_models(settings)[0].champion == 1\n"
        "assert 'MLmodel' in show_model('credit', None, settings).files\n"
        "assert not {'mlflow', 'numpy', 'pandas', 'sklearn', 'pyarrow', 'duckdb', 'alembic'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
