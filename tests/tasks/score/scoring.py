"""Builders for the tests of batch scoring: a project with a champion, and a scoring without a flow."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from config.schema import ModelConfig
from config.settings import Settings
from core.score.outcome import ScoreOutcome
from core.score.plan import ScoringRequest
from core.train.trust import trusted_types
from serving.model.served import ServedModel, load_model
from tasks.registry.fetch import fetched
from tasks.score.part import score_part
from tasks.score.plan import plan_scoring
from tasks.score.publish import publish
from tasks.score.staging import held_output, located, staging_folder
from tests.factories import add_credit_model, credit_config, credit_rows, make_project
from tests.tasks.judging import LINEAR, add_data, enthrone, register_version


@dataclass(frozen=True)
class Scored:
    """A project whose model has a champion."""

    settings: Settings
    config: ModelConfig

    def request(self, rows: Path | str, output: Path | str, **given: Any) -> ScoringRequest:
        """Return a request."""
        return located(ScoringRequest("credit", str(rows), str(output), **given), self.settings)

    def score(self, rows: Path | str, output: Path | str, **given: Any) -> ScoreOutcome:
        """Score as the flow does, one part after the other."""
        return score_all(self.config, self.request(rows, output, **given), self.settings)

    def served(self, frame: pd.DataFrame) -> list[list[float]]:
        """Answers of the service to rows, by its own reading of JSON."""
        model = service_model(self.settings)
        answers = []
        for start in range(0, len(frame), 150):
            part = frame.iloc[start : start + 150]
            rows = [
                {name: None if pd.isna(value) else value for name, value in row.items()}
                for row in part[list(model.contract.raw_columns)].astype(object).to_dict("records")
            ]
            read = model.reader.read(json.dumps({"rows": rows}).encode())
            answers += model.answer_inline(read.values)
        return answers


def champion_project(folder: Path, **training: Any) -> Scored:
    """Make a project with a champion."""
    settings = make_project(folder)
    config = credit_config(training=LINEAR | training)
    add_credit_model(settings, training=LINEAR | training)
    register_version(settings, config, add_data(settings, config))
    enthrone(settings, 1)
    return Scored(settings, config)


def service_model(settings: Settings) -> ServedModel:
    """Return the champion as the service loads it."""
    with fetched("credit", 1, settings) as bundle:
        return load_model(bundle.folder, bundle.manifest_sha256, trusted_types(), name="credit", version=1)


def score_all(config: ModelConfig, request: ScoringRequest, settings: Settings) -> ScoreOutcome:
    """Score as the flow does, one part after the other."""
    with held_output(request, settings):
        plan = plan_scoring(config, request, settings)
        if isinstance(plan, ScoreOutcome):
            return plan
        folder = staging_folder(request, settings)
        done = [score_part(folder, part.number, settings) for part in plan.parts]
        return publish(plan, [one for one in done if one is not None], settings)


def rows_to_score(n: int = 500, seed: int = 5) -> pd.DataFrame:
    """Return rows without a label, in the contract's types, some cells without a value."""
    frame = credit_rows(n, seed=seed).drop(columns="default")
    frame["owner"] = frame["owner"] == "true"
    frame["age"] = frame["age"].astype("float64")
    frame.loc[3, "income"] = float("nan")
    frame.loc[4, "region"] = None
    return frame
