"""A prediction service that runs: bundles of three kinds of models, the state that names them, and a real server.

``with running(tmp_path, models) as service:`` starts uvicorn in a thread, just as a worker does, and ends it.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ecs_logging
import httpx
import msgspec
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from config.settings import HookSettings, ServingSettings
from core.drift.profile import reference_profile
from core.feature_contract import FeatureContract
from core.references import Variant
from serving.access.access import Access
from serving.access.rates import SharedRates
from serving.http.app import build_app
from serving.http.direct import DirectPredictions
from serving.http.entry import Entry
from serving.http.service import Service, following
from serving.instance.folder import METRICS_VARIABLE
from serving.instance.state import ModelState, ServiceState, write_state
from serving.processes.worker import Server, build_inbox, build_service, server_config
from serving.telemetry.logs import WRITE_SECONDS, AccessLog
from serving.telemetry.metrics import Metrics
from serving.telemetry.prediction_log import OPENING
from serving.webhooks.inbox import Inbox, head_check
from store.database import open_database
from store.key_text import ApiKey, new_key
from tasks.registry.bundle import Bundle, Document
from tests.serving.bundles import DATED, answers, make_bundle, multiclass, regression
from tests.tasks.registration import FRAME, logistic_pipeline

CARD_TEXT = "<h1>A card</h1><script>alert(1)</script>"
Row = dict[str, Any]


@dataclass(frozen=True)
class Example:
    """A model to serve, and rows to ask it about.

    Parameters
    ----------
    state
        As the follower would write it.
    frame, contract
        Raw rows, and how they are read.
    """

    state: ModelState
    frame: pd.DataFrame = field(repr=False)
    contract: FeatureContract = field(repr=False)

    def rows(self, n: int = 1, first: int = 0) -> list[Row]:
        """Return rows as a request brings them."""
        return json_rows(self.frame.iloc[first : first + n], self.contract)


def json_rows(frame: pd.DataFrame, contract: FeatureContract) -> list[Row]:
    """Return raw rows as a request brings them: gaps as null, dates as ISO 8601."""
    text = frame[list(contract.raw_columns)].to_json(orient="records", date_format="iso", double_precision=15)
    rows: list[Row] = json.loads(text)
    for row in rows:
        row.update({name: row[name].removesuffix("Z") for name in contract.dates if row[name] is not None})
    return rows


def model_state(
    bundle: Bundle, name: str, *, version: int = 1, variant: Variant = "champion", **more: Any
) -> ModelState:
    """Return the state of a model whose bundle lies where it was built."""
    return ModelState(
        name=name,
        version=version,
        variant=variant,
        sequence=version,
        since="2026-01-01T00:00:00+00:00",
        by="gate",
        reason="better",
        manifest=bundle.manifest_sha256,
        folder=str(bundle.folder),
        data_version="d" * 32 + ".dir",
        **more,
    )


def credit_example(folder: Path) -> Example:
    """Return a binary classifier that has a graph."""
    return _example(folder, "credit", logistic_pipeline(), FRAME, FRAME["age"].gt(40).to_numpy("int64"), graph=True)


def grade_example(folder: Path) -> Example:
    """Return a classifier of three classes that has no graph."""
    codes = pd.cut(FRAME["age"], [0, 38, 58, 100], labels=False).to_numpy()
    return _example(folder, "grade", multiclass(), FRAME, codes, graph=False)


def price_example(folder: Path) -> Example:
    """Return a regression with dates that has a graph."""
    return _example(folder, "price", regression(), DATED, DATED["income"].fillna(0).to_numpy() / 1000, graph=True)


def _example(folder: Path, name: str, fitted: Any, frame: pd.DataFrame, y: Any, *, graph: bool) -> Example:
    contract = fitted[1]
    profile = reference_profile(frame, y, answers(fitted, frame), contract).to_dict()
    documents: dict[str, Document] = {"profile.json": profile, "card.html": CARD_TEXT}
    bundle = make_bundle(folder / name, fitted, graph=graph, frame=frame, model=name, documents=documents)
    return Example(model_state(bundle, name), frame, contract)


@dataclass
class Running:
    """A service that answers at an address.

    Parameters
    ----------
    url, port
        Where.
    service
        What the worker holds; it belongs to the server's thread.
    server
        Of uvicorn.
    database_url, instance
        Operational database, and folder of the state.
    """

    url: str
    port: int
    service: Service
    server: Server
    database_url: str
    instance: Path
    _access_text: io.BytesIO = field(default_factory=io.BytesIO, repr=False)
    _log_text: io.StringIO = field(default_factory=io.StringIO, repr=False)

    def client(self, key: str | None = None, **more: Any) -> httpx.Client:
        """Return a client, with a key where one is given."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=120, **more)

    def request(self, method: str, path: str, *, key: str | None = None, **more: Any) -> httpx.Response:
        """Send one request on a connection of its own."""
        with self.client(key) as client:
            return client.request(method, path, **more)

    def predict(self, model: str, rows: Sequence[Row], *, key: str | None = None) -> httpx.Response:
        """Ask a model."""
        return self.request("POST", f"/v1/models/{model}/predict", key=key, json={"rows": list(rows)})

    def connect(self) -> closing[socket.socket]:
        """Open a connection to send it what no client library would."""
        return closing(socket.create_connection(("127.0.0.1", self.port), timeout=120))

    def access_lines(self) -> list[dict[str, Any]]:
        """Return the access log so far."""
        time.sleep(2.5 * WRITE_SECONDS)
        return [json.loads(line) for line in self._access_text.getvalue().splitlines()]

    @property
    def logged(self) -> str:
        """Everything that was logged so far, access log and records, as text."""
        return self._access_text.getvalue().decode() + self._log_text.getvalue()

    def samples(self, *, key: str | None = None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return all metrics: their values by name and labels."""
        families = text_string_to_metric_families(self.request("GET", "/metrics", key=key).text)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Read the operational database; SQLite only."""
        engine = open_database(self.database_url)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

    def publish(self, models: Sequence[ModelState], keys: Sequence[ApiKey] = ()) -> None:
        """Write another state, and wait until the worker has looked at it."""
        state = ServiceState(tuple(models), tuple(keys))
        write_state(self.instance, state)
        await_that(lambda: self.service.state == state)


def await_that(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"it did not come to hold within {seconds:g} s"
        time.sleep(0.01)


@contextmanager
def running(
    folder: Path,
    models: Sequence[ModelState],
    *,
    keys: Sequence[ApiKey] = (),
    database_url: str | None = None,
    hooks: HookSettings | None = None,
    root: Path | None = None,
    **given: Any,
) -> Iterator[Running]:
    """Serve models in a thread of this process, on a free port, until the block ends.

    Parameters
    ----------
    folder
        Gets the state, the rates and, where no other is named, the operational database.
    hooks, root
        Who may send webhooks, nobody where nothing is given; and the folder of the project.
    given
        Settings of the service; ``drain_seconds`` is 0 where it is not given.
    """
    settings = ServingSettings(**{"drain_seconds": 0, "grace_seconds": 5, **given})
    instance = folder / "instance"
    instance.mkdir(parents=True, exist_ok=True)
    state = ServiceState(tuple(models), tuple(keys))
    write_state(instance, state)
    address = database_url or f"sqlite:///{folder / 'perennial.db'}"
    if database_url is None:
        open_database(address)
    rates = SharedRates(instance / "rates")
    with pytest.MonkeyPatch.context() as patch, closing(rates), closing(_listening()) as listening:
        patch.delenv(METRICS_VARIABLE, raising=False)
        service = build_service(settings, instance, address, Metrics(), Access(settings, rates))
        port = listening.getsockname()[1]
        access_text, log_text = io.BytesIO(), io.StringIO()
        hooks = hooks or HookSettings.model_construct()
        inbox = build_inbox(hooks, settings, address, root or folder, rates)
        server, access_log = _server(service, address, access_text, inbox, hooks.max_body_kb if hooks.keys else 0)
        found = Running(f"http://127.0.0.1:{port}", port, service, server, address, instance)
        found._access_text, found._log_text = access_text, log_text
        with _records(log_text), _turning(server, listening, access_log):
            await_that(lambda: service.log.trouble != OPENING)
            yield found


def _listening() -> socket.socket:
    opened = socket.socket()
    opened.bind(("127.0.0.1", 0))
    return opened


def _server(
    service: Service, address: str, access_text: io.BytesIO, inbox: Inbox, hook_body_kb: int
) -> tuple[Server, AccessLog]:
    app = build_app(service, address, lambda _: following(service, close_seconds=5), inbox=inbox)
    access_log = AccessLog("json", access_text)
    entry = Entry(service, app, access_log, hook_body_kb, head_check(service, inbox))
    direct = DirectPredictions(service, entry)
    config = server_config(entry, service.settings, direct)
    return Server(config, service, direct), access_log


@contextmanager
def _turning(server: Server, listening: socket.socket, access_log: AccessLog) -> Iterator[None]:
    thread = threading.Thread(target=partial(server.run, sockets=[listening]), name="server")
    thread.start()
    try:
        await_that(lambda: server.started or not thread.is_alive())
        assert server.started, "the server ended as it started"
        yield
    finally:
        server.should_exit = True
        thread.join(20)
        access_log.close()
        assert not thread.is_alive(), "the server did not end"


@contextmanager
def _records(stream: io.StringIO) -> Iterator[None]:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ecs_logging.StdlibFormatter())
    handler.addFilter(lambda record: not record.name.startswith("httpx"))  # the client's own
    logger = logging.getLogger()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def make_key(*scopes: str, models: tuple[str, ...] = (), rate: float | None = None) -> tuple[ApiKey, str]:
    """Return a new key, as it is kept, and its text."""
    return new_key("shop", scopes or ("predict",), models, rate, datetime.now(UTC), None)


def revoked(key: ApiKey) -> ApiKey:
    """Return a key that was taken back."""
    return ApiKey(**{**vars(key), "revoked_at": datetime.now(UTC)})


def changed(state: ModelState, **changes: Any) -> ModelState:
    """Return a state with some fields changed."""
    return msgspec.structs.replace(state, **changes)
