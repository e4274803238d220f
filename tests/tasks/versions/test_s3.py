"""A real push to and restore from S3's protocol, served by moto on this machine."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.errors import DataVersionError, StorageError
from store.database import open_database
from tasks.platform.doctor_services import check_remote
from tasks.versions.versions import lay_out_snapshot, restore_data, version_data, write_batch
from tests.factories import credit_config, make_project
from tests.tasks.versions.staging import batch_files, credit_rows, stage

pytest.importorskip("dvc_s3", reason="the extra s3 is not installed")

CREDIT = credit_config()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Address of an S3 server on this machine."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def settings(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a project whose remote is a bucket of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = tmp_path.name.replace("_", "-").lower()
    client_of(endpoint).create_bucket(Bucket=bucket)
    settings = make_project(tmp_path)
    point_at(settings, f"s3://{bucket}/store", endpoint)
    return settings


def client_of(endpoint: str) -> Any:
    """Client of the server, without DVC."""
    return importlib.import_module("boto3").client("s3", endpoint_url=endpoint)


def point_at(settings: Settings, url: str, endpoint: str) -> None:
    """Make an S3 address the default remote."""
    (settings.root / ".dvc" / "config").write_text(
        f"[core]\n    remote = cloud\n['remote \"cloud\"']\n    url = {url}\n    endpointurl = {endpoint}\n"
    )


def test_data_comes_back_from_s3(settings: Settings, tmp_path: Path) -> None:
    """Two versions are pushed; with cache, working copy and database gone both come back, bit for bit."""
    write_batch(stage(credit_rows(0, 50), tmp_path), CREDIT, settings)
    old, old_files = version_data(CREDIT, settings), batch_files(settings)
    write_batch(stage(credit_rows(0, 80), tmp_path), CREDIT, settings)
    new, new_files = version_data(CREDIT, settings), batch_files(settings)
    for folder in (settings.root / ".dvc" / "cache", settings.root / "data", settings.var):
        shutil.rmtree(folder)
    restore_data("credit", new.version, settings)
    assert batch_files(settings) == new_files
    snapshot = lay_out_snapshot("credit", old.version[:10], settings)
    assert {path.name: path.read_bytes() for path in snapshot.path.glob("*.parquet")} == old_files


def test_what_s3_lost_is_pushed_again_or_said(settings: Settings, tmp_path: Path, endpoint: str) -> None:
    """A bucket that was emptied behind our back gives an error that names the remote, not a half snapshot."""
    write_batch(stage(credit_rows(0, 50), tmp_path), CREDIT, settings)
    version = version_data(CREDIT, settings).version
    client = client_of(endpoint)
    bucket = tmp_path.name.replace("_", "-").lower()
    for found in client.list_objects_v2(Bucket=bucket)["Contents"]:
        client.delete_object(Bucket=bucket, Key=found["Key"])
    shutil.rmtree(settings.root / ".dvc" / "cache")
    with pytest.raises(DataVersionError, match="'cloud'"):
        lay_out_snapshot("credit", version, settings)
    assert version_data(CREDIT, settings).version == version
    shutil.rmtree(settings.root / ".dvc" / "cache")
    assert lay_out_snapshot("credit", version, settings).n_rows == 50


def test_a_missing_bucket_is_named(settings: Settings, tmp_path: Path, endpoint: str) -> None:
    """The batch stays, the message names the remote's address and what to do."""
    point_at(settings, "s3://no-such-bucket-here/store", endpoint)
    write_batch(stage(credit_rows(0, 50), tmp_path), CREDIT, settings)
    with pytest.raises(StorageError, match=r"'cloud' at s3://no-such-bucket-here/store.*run the same command again"):
        version_data(CREDIT, settings)
    assert len(batch_files(settings)) == 1
    assert not (settings.root / "data.dvc").exists()


def test_the_doctor_tries_the_bucket_and_leaves_nothing_there(settings: Settings, endpoint: str) -> None:
    """Before there is a database the finding says when it is checked."""
    [unknown] = check_remote(settings)
    assert (unknown.level, "checked only after" in unknown.says) == ("ok", True)
    open_database(settings.database_url)
    [found] = check_remote(settings)
    assert (found.level, "is writable" in found.says) == ("ok", True)
    bucket = settings.root.parent.name.replace("_", "-").lower()
    assert "Contents" not in client_of(endpoint).list_objects_v2(Bucket=bucket)
