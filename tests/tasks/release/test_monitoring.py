"""What a real Prometheus says of both versions, from counters that it scrapes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from core.errors import ConfigError
from core.release.plan import Plan
from core.release.recorded import RecordedPlan
from store.releases.answers import Asked
from tasks.release.monitoring import monitored, monitored_both, query
from tests.core.release.objects import GATEWAY
from tests.tasks.release.cluster import Cluster, running

PLAN = RecordedPlan(Plan(), "wait", 60, ("no", "yes"), (0.25, 0.5), GATEWAY)
REQUESTS = 'perennial_requests_total{version="%d",variant="%s",code="%s"} %d'
BUCKET = 'perennial_request_duration_seconds_bucket{version="%d",variant="%s",le="%s"} %d'
BINS = 'perennial_predictions_total{version="%d",variant="%s",le="%s"} %d'


@dataclass
class Exporter:
    """What a scrape answers with, and how many there were."""

    text: str = ""
    scrapes: int = 0
    port: int = 0

    def scraped(self, text: str) -> None:
        """Set the metrics, and wait until they were read three times."""
        self.text = text
        goal = self.scrapes + 3
        until = time.monotonic() + 120
        while self.scrapes < goal:
            assert time.monotonic() < until, "Prometheus does not scrape"
            time.sleep(0.05)


def metrics(version: int, variant: str, ok: int, failed: int) -> str:
    """Return the text of a variant's metrics: a tenth of the latencies is above 0.1 s."""
    n = ok + failed
    lines = [REQUESTS % (version, variant, "200", ok)]
    lines += [REQUESTS % (version, variant, "500", failed)] if failed else []
    lines += [BUCKET % (version, variant, edge, count) for edge, count in (("0.1", n - n // 10), ("1", n), ("+Inf", n))]
    lines += [BINS % (version, variant, le, count) for le, count in (("0.25", ok // 2), ("+Inf", ok - ok // 2))]
    return "\n".join([*lines, ""])


@contextmanager
def exporting() -> Iterator[Exporter]:
    """Serve metrics."""
    exporter = Exporter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            exporter.scrapes += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(exporter.text.encode())

        def log_message(self, *_given: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        exporter.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield exporter
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    """Return metrics that a real Prometheus scrapes, which the settings name."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with exporting() as exporter:
        target = f"{{static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}], job_name: perennial}}"
        content = f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs: [{target}]\n"
        (tmp_path / "prometheus.yml").write_text(content)
        command = [program, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=subprocess.STDOUT
            )
            monkeypatch.setenv("PERENNIAL_MESH_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
            try:
                yield exporter
            finally:
                process.terminate()
                process.wait(120)


def asked(version: int, variant: str, since: datetime) -> Asked:
    """Ask for a variant from a time on."""
    return Asked("credit", version, variant, since)  # type: ignore[arg-type]


def test_prometheus_tells_what_both_did_in_the_stage(exporter: Exporter) -> None:
    """What was before counts for none; the first failure counts, though its counter began with it."""
    exporter.scraped(metrics(1, "champion", 5000, 40))
    since = datetime.now(UTC)
    time.sleep(1.2)
    exporter.scraped(metrics(1, "champion", 6000, 40) + metrics(2, "challenger", 300, 30))
    champion, challenger = monitored_both(asked(1, "champion", since), asked(2, "challenger", since), PLAN, GATEWAY)
    # An increase is extrapolated to the whole time; the challenger's counters are new, so theirs is exact.
    assert 950 <= champion.n_requests <= 1250
    assert champion.n_failures <= 1
    assert 0.4 < champion.predictions[0] / champion.predictions.sum() < 0.6
    assert (challenger.n_requests, challenger.n_failures) == (330, 30)
    assert challenger.predictions.tolist() == [150, 0, 150]
    assert len(challenger.latencies_ms) == 330
    assert (challenger.latencies_ms > 100).sum() == 33
    assert challenger.latencies_ms.max() <= 1000


def test_a_restart_of_a_counter_loses_nothing_before_it(exporter: Exporter) -> None:
    """As Prometheus counts: what was since the restart is added."""
    exporter.scraped(metrics(1, "champion", 100, 0))
    since = datetime.now(UTC)
    time.sleep(1.2)
    exporter.scraped(metrics(1, "champion", 600, 0))
    exporter.scraped(metrics(1, "champion", 50, 0))
    found = monitored(asked(1, "champion", since), PLAN, GATEWAY, is_challenger=False)
    assert 520 <= found.n_requests <= 700


def test_another_version_has_nothing(exporter: Exporter) -> None:
    """No series is no request, and no check can be ok."""
    exporter.scraped(metrics(1, "champion", 100, 0))
    found = monitored(
        asked(7, "challenger", datetime.now(UTC) - timedelta(seconds=2)), PLAN, GATEWAY, is_challenger=True
    )
    assert (found.n_requests, len(found.latencies_ms), found.predictions.sum()) == (0, 0, 0)


def test_the_query_is_promql(exporter: Exporter) -> None:
    """Prometheus parses it, and refuses one that is none."""
    exporter.scraped(metrics(1, "champion", 100, 0))
    url = os.environ["PERENNIAL_MESH_PROMETHEUS_URL"] + "/api/v1/query"
    assert httpx.get(url, params={"query": query('x_total{a="b"}', "code", 60)}).json()["status"] == "success"
    assert httpx.get(url, params={"query": query('x_total{a="b"', "code", 60)}).json()["status"] == "error"


@pytest.mark.parametrize(
    "cluster",
    [Cluster({}, status=503), Cluster({}, status=401), Cluster({}, status=400), Cluster({}, status=200)],
    ids=["away", "credentials", "query", "another document"],
)
def test_without_an_answer_nothing_is_known(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look holds instead of failing, so that its deadline comes."""
    now = datetime.now(UTC)
    with running(cluster):
        monkeypatch.setenv("PERENNIAL_MESH_PROMETHEUS_URL", cluster.url)
        both = monitored_both(asked(1, "champion", now), asked(2, "challenger", now), PLAN, GATEWAY)
    assert [one.n_requests for one in both] == [0, 0]
    assert cluster.count("GET") == 1


def test_without_an_address_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sets it."""
    monkeypatch.delenv("PERENNIAL_MESH_PROMETHEUS_URL", raising=False)
    with pytest.raises(ConfigError, match="PERENNIAL_MESH_PROMETHEUS_URL is not set"):
        monitored(asked(1, "champion", datetime.now(UTC)), PLAN, GATEWAY, is_challenger=False)
