"""Requests to an API: what each failure says, over real sockets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import ConfigError, PerennialError, StorageError
from tasks.release.api import Api, message
from tests.tasks.release.cluster import TOKEN, Cluster, certified, running

HERE = "/apis/x"


def api(cluster: Cluster, token: str | None = TOKEN, ca_file: Path | None = None, seconds: float = 5) -> Api:
    """Return the double as an API."""
    return Api("the API", cluster.url, token, ca_file, seconds, "PERENNIAL_MESH_API_")


def test_an_answer_is_status_and_document() -> None:
    """Also of a request that the API refuses: what follows from it is the caller's."""
    with running(Cluster({HERE: {"kind": "X"}})) as cluster:
        assert api(cluster).send("GET", HERE) == (200, {"kind": "X"})
        status, document = api(cluster).send("GET", "/apis/y")
        assert (status, message(document)) == (404, "not found")


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, ConfigError, "refused the credentials .401: as the test wants it."),
        (403, ConfigError, "refused the credentials"),
        (429, StorageError, "found 429"),
        (500, StorageError, "found 500: as the test wants it"),
        (307, StorageError, "found 307"),
    ],
)
def test_a_failure_is_typed(status: int, error: type[PerennialError], said: str) -> None:
    """The message has what the API said, and never the token."""
    with running(Cluster({}, status=status)) as cluster, pytest.raises(error, match=said) as caught:
        api(cluster).send("GET", HERE)
    assert TOKEN not in str(caught.value)
    assert TOKEN not in repr(api(cluster))


def test_no_token_and_a_wrong_one_are_refused() -> None:
    """By the API; a token with a line break never leaves."""
    with running(Cluster({HERE: {}})) as cluster:
        for token in (None, "another"):
            with pytest.raises(ConfigError, match="401"):
                api(cluster, token).send("GET", HERE)
        with pytest.raises(ConfigError, match="characters"):
            api(cluster, "a\nb").send("GET", HERE)
        assert cluster.count("GET") == 2


def test_a_slow_api_is_not_waited_for() -> None:
    """The limit is the settings'."""
    with running(Cluster({HERE: {}}, delay=1)) as cluster, pytest.raises(StorageError, match=r"within 0\.2 s"):
        api(cluster, seconds=0.2).send("GET", HERE)


def test_no_api_is_said() -> None:
    """Nothing listens there any more."""
    with running(Cluster({})) as cluster:
        pass
    with pytest.raises(StorageError, match="does not answer"):
        api(cluster).send("GET", HERE)


def test_a_token_is_sent_over_tls_only() -> None:
    """But to this machine, where kubectl proxy listens."""
    with pytest.raises(ConfigError, match="expected https"):
        api(Cluster({}, url="http://192.0.2.1")).send("GET", HERE)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_only_the_named_authority_is_trusted(tmp_path: Path) -> None:
    """Another one, and the usual ones, did not sign this certificate."""
    own, other = certified(tmp_path, "own"), certified(tmp_path, "other")
    with running(Cluster({HERE: {"kind": "X"}}), own) as cluster:
        assert api(cluster, ca_file=own).send("GET", HERE)[0] == 200
        for ca_file in (other, None):
            with pytest.raises(StorageError, match="CERTIFICATE_VERIFY_FAILED"):
                api(cluster, ca_file=ca_file).send("GET", HERE)
        assert cluster.count("GET") == 1


def test_a_file_without_certificates_is_said(tmp_path: Path) -> None:
    """Missing, or not PEM."""
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("none.pem", "empty.pem"):
        with pytest.raises(ConfigError, match=f"{name}: expected certificates"):
            api(Cluster({}, url="https://127.0.0.1:1"), ca_file=tmp_path / name).send("GET", HERE)
