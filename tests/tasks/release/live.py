"""A real service with two workers over registered versions of each kind of model, clients, and looks as of the flow."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sqlalchemy import func, select

from config.schema import ModelConfig
from config.settings import Settings
from core.contract import PrepareColumns
from core.drift.profile import reference_profile
from core.feature_contract import FeatureContract
from core.model_inputs import prepare
from core.release.outcome import ReleaseOutcome
from core.train.pipeline import build_encoder, estimator_need
from store.champions import RecordedVerdict, current_champion, record_verdict, start_tenure
from store.database import open_database, reading
from store.releases.records import ReleaseState
from store.releases.releases import newest_release, running_release
from store.tables import PredictionRequestRow
from tasks.registry.register import register_bundle
from tasks.release.begin import begin
from tasks.release.look import look
from tasks.release.people import abort
from tasks.release.waiting import go_on
from tests.core.samples import credit_frame, task_config
from tests.serving.bundles import answers, make_bundle, reseal
from tests.serving.running import await_that, json_rows
from tests.serving.service_processes import Client, Served, serving
from tests.tasks.registration import lineage

MODEL = "credit"
N_ROWS = 1500
CLIENTS = 4

PLAN: dict[str, Any] = {
    "mode": "staged",
    "steps": [50, 100],
    "min_requests": 150,
    "shadow": {"requests": 150, "hours": 1},
    "max_wait_hours": 1,
    "bake_hours": 0,
    "min_labels": 100,
    # With so few requests little can be shown; p99 alone needs 638.
    "guardrails": {"error_rate": 0.2, "latency_ratio": None, "prediction_psi": 10.0, "performance_loss": 0.3},
}
"""A plan whose stages pass with some hundred requests and their labels."""

LOSSES = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}

Answer = dict[str, Any]
Change = Callable[[Path], None]


def frame_of(task: str) -> tuple[pd.DataFrame, npt.NDArray[Any], list[str]]:
    """Return rows, what the age says of them with some noise, and the names of the classes."""
    frame = credit_frame(N_ROWS, seed=7)
    score = (frame["age"].to_numpy() - 48) / 9 + np.random.default_rng(8).normal(0, 0.7, N_ROWS)
    if task == "regression":
        return frame, score, []
    if task == "binary":
        return frame, (score > 0).astype("int64"), ["0", "1"]
    return frame, np.digitize(score, (-1.0, 1.0)).astype("int64"), ["high", "low", "middle"]


@dataclass
class Trial:
    """Versions of a model, the service that answers with them, and the releases between them.

    Parameters
    ----------
    settings, task
        Of the project; kind of the model.
    plan
        Section ``release`` of the model file.
    known
        Classes of the champion: the service takes no labels of others.
    """

    settings: Settings
    task: str
    plan: Mapping[str, Any] = field(default_factory=lambda: PLAN)
    served: Served | None = None
    answers: list[tuple[int, Answer]] = field(default_factory=list)
    broken: int = 0
    known: frozenset[str] = frozenset()
    _sent: int = 0

    def __post_init__(self) -> None:
        self.frame, self.y, self.classes = frame_of(self.task)
        self.rows: list[dict[str, Any]] = json_rows(self.frame, self.contract())

    def config(self) -> ModelConfig:
        """Return the model file."""
        metric = LOSSES[self.task]
        return task_config(self.task, gate={"metric": metric, "floor": 9.0}, release=dict(self.plan))

    def contract(self, classes: list[str] | None = None) -> FeatureContract:
        """Return the contract of a version."""
        return FeatureContract.of(self.config(), self.classes if classes is None else classes)

    def register(
        self, key: str, strength: float, *, classes: list[str] | None = None, change: Change | None = None
    ) -> int:
        """Fit, register and judge a version; the weaker, the worse. ``change`` spoils its bundle.

        With ``classes`` it has seen rows of these only.
        """
        fitted = self._fitted(strength, classes)
        profile = reference_profile(self.frame, self._codes(fitted[1]), answers(fitted, self.frame), fitted[1])
        work, documents = self.settings.var / "work" / f"bundle-{key}", {"profile.json": profile.to_dict()}
        built = make_bundle(work, fitted, graph=True, frame=self.frame, key=key, documents=documents)
        if change is not None:
            change(built.folder)
            built = replace(built, manifest_sha256=reseal(built.folder))
        made = register_bundle(built, self.config(), lineage(key), {}, {}, self.settings, {})
        champion = current_champion(self.engine, MODEL)
        sequence, version = (champion.sequence, champion.version) if champion else (0, None)
        record_verdict(
            self.engine,
            RecordedVerdict(
                MODEL, made.version, sequence, version, "promote", "enabled", 0, "", "", made.manifest, "{}",
                datetime.now(UTC),
            ),
        )  # fmt: skip
        return made.version

    def _fitted(self, strength: float, classes: list[str] | None) -> tuple[Pipeline, FeatureContract]:
        contract = self.contract(classes)
        estimator: Any = Ridge(1 / strength) if self.task == "regression" else LogisticRegression(C=strength)
        known = self._known(contract)
        frame = self.frame[known].reset_index(drop=True)
        encode = build_encoder(contract, prepare(frame, contract), estimator_need(estimator))
        steps = [("prepare", PrepareColumns(contract.to_dict())), ("encode", encode), ("model", estimator)]
        return Pipeline(steps).fit(frame, self._codes(contract)[known]), contract

    def _known(self, contract: FeatureContract) -> npt.NDArray[np.bool_]:
        if not contract.classes:
            return np.ones(len(self.frame), dtype=bool)
        return np.isin([self.classes[code] for code in self.y], contract.classes)

    def _codes(self, contract: FeatureContract) -> npt.NDArray[Any]:
        """Return the target as a version counts it; a class that it does not know counts as its first one."""
        if not contract.classes:
            return self.y
        places = {name: place for place, name in enumerate(contract.classes)}
        return np.array([places.get(self.classes[code], 0) for code in self.y])

    @property
    def engine(self) -> Any:
        """The operational database."""
        return open_database(self.settings.database_url)

    def crown(self, version: int) -> None:
        """Make a version champion."""
        now = datetime.now(UTC)
        start_tenure(
            self.engine, MODEL, version, expected_sequence=0, kind="gate", reason="first", actor="test", at=now
        )

    def begin(self, version: int) -> ReleaseState:
        """Start a release, and wait until the service has its bundle or says why not."""
        champion = current_champion(self.engine, MODEL)
        assert champion is not None
        state = begin(self.config(), version, champion.sequence, "gate", "it is better", self.settings)
        if self.served is not None:
            await_that(self._is_told)
        return state

    def _is_told(self) -> bool:
        release = self.get("/v1/status")["models"][0].get("release")
        return release is not None and "fetched" not in (release["trouble"] or "")

    @property
    def port(self) -> int:
        """Port of the service."""
        assert self.served is not None
        return self.served.port

    def stop_shadow(self) -> None:
        """Stop the process that answers copies, as one that hangs; the supervisor ends it and starts another one."""
        assert self.served is not None
        for child in psutil.Process(self.served.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "serving.processes.shadow" in child.cmdline():
                    child.suspend()

    def get(self, path: str) -> Any:
        """Ask the service for a document."""
        port = self.port

        async def asked() -> bytes:
            client = Client(port)
            try:
                return (await client.ask("GET", path))[2]
            finally:
                await client.close()

        return json.loads(asyncio.run(asked()))

    def send(self, n: int) -> list[Answer]:
        """Send n rows, each of an entity of its own; return the answers of status 200, each with its ``place``."""
        port, first = self.port, self._sent
        self._sent += n
        found: list[Answer] = []

        async def one(own: range) -> None:
            client = Client(port)
            for number in own:
                place = number % N_ROWS
                body = json.dumps({"rows": [{**self.rows[place], "id": f"c{number}"}]}).encode()
                try:
                    status, _, content = await client.ask("POST", f"/v1/models/{MODEL}/predict", body)
                except ConnectionError:
                    self.broken += 1
                    continue
                document = json.loads(content)
                self.answers.append((status, document))
                if status == 200:
                    found.append({**document, "place": place})
            await client.close()

        async def all_clients() -> None:
            await asyncio.gather(*(one(range(first + start, first + n, CLIENTS)) for start in range(CLIENTS)))

        asyncio.run(all_clients())
        return found

    def label(self, found: list[Answer]) -> None:
        """Send the true outcomes of answers."""
        assert self.send_labels(found) == 200

    def send_labels(self, found: list[Answer]) -> int:
        """Send the true outcomes of answers; return the status, 0 if there is no answer."""
        port = self.port
        items = [
            {"id": one["predictions"][0]["id"], "label": self._label(one["place"])}
            for one in found
            if not self.classes or self.classes[self.y[one["place"]]] in self.known
        ]

        async def sent() -> int:
            client = Client(port)
            try:
                body = json.dumps({"labels": items}).encode()
                return (await client.ask("POST", f"/v1/models/{MODEL}/labels", body))[0]
            except ConnectionError:
                return 0
            finally:
                await client.close()

        return asyncio.run(sent())

    def _label(self, place: int) -> Any:
        return self.classes[self.y[place]] if self.classes else float(self.y[place])

    def logged(self, *conditions: Any) -> int:
        """Count rows of the prediction log."""
        with reading(self.engine) as connection:
            chosen = select(func.count()).select_from(PredictionRequestRow).where(*conditions)
            return int(connection.execute(chosen).scalar_one())

    def look(self) -> ReleaseOutcome:
        """Do what a run of the flow does."""
        return go_on(look(MODEL, self.settings), self.settings)

    def stage(self) -> tuple[str, int]:
        """Return stage and share of the newest release."""
        state = newest_release(self.engine, MODEL)
        assert state is not None
        return state.newest.stage, state.newest.share

    def follow(self, batch: int = 320, most: int = 30) -> list[ReleaseOutcome]:
        """Send rows and their labels and look, until the release is over, ``most`` times; return what each look did."""
        looks: list[ReleaseOutcome] = []
        for _ in range(most):
            in_shadow = self.stage()[0] == "shadow"
            self.label(self.send(batch))
            if in_shadow:
                self._await_shadow()
            looks.append(self.look())
            if looks[-1].is_over:
                return looks
            if looks[-1].status != "held":
                self._await_share()
        return looks

    def end(self) -> None:
        """End a release that runs."""
        if running_release(self.engine, MODEL) is not None:
            abort(MODEL, "the trial is over", self.settings)

    def _await_shadow(self) -> None:
        """Wait until the shadow adds nothing to the log: its answers come later than those that clients wait for."""
        before = -1
        while (now := self.logged(PredictionRequestRow.variant == "shadow")) != before:
            before = now
            time.sleep(0.5)

    def _await_share(self) -> None:
        """Wait until the service is told of the stage."""
        stage, share = self.stage()

        def told() -> bool:
            release = self.get("/v1/status")["models"][0].get("release")
            return release is not None and (release["stage"], release["share"]) == (stage, share)

        await_that(told)


@contextmanager
def trial(settings: Settings, task: str, classes: list[str] | None = None) -> Iterator[Trial]:
    """Return a trial whose version 1, a weak one, is champion and served by two workers."""
    found = Trial(settings, task)
    found.known = frozenset(found.classes if classes is None else classes)
    found.crown(found.register("a", 0.002 if task != "regression" else 1e-5, classes=classes))
    with serving(settings, PERENNIAL_SERVE_WORKERS="2", PERENNIAL_DATABASE_URL=settings.database_url) as served:
        served.await_workers(2)
        found.served = served
        yield found
