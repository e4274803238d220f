"""Publish the gate's verdict: in the version's MLflow tags, in its reports and in its model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from config.schema import Gate
from config.settings import Settings
from core.gate.decision import GateVerdict
from tasks.registry.client import mlflow_client, mlflow_failures
from tasks.registry.fetch import fetched_texts
from tasks.registry.records import GATE_WORDS
from tasks.registry.register import MAX_TAG, REPORTS
from tasks.reports.gate import with_verdict, with_verdict_md

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

GATE = "perennial.gate"
RULES = f"{GATE}.rules"


def publish_verdict(verdict: GateVerdict, rules: str, gate: Gate, folder: Path, settings: Settings) -> None:
    """Write a version's verdict as ``reports/gate.json``, into its card and as tags; a repeat writes the same.

    The tag with the hash of the rules is removed first and written last: if it is present, all other parts are too.

    Parameters
    ----------
    rules
        Hash of the rules of the verdict.
    gate
        The gate's section of the model file; its margins are drawn in the card.
    folder
        The run's local folder of reports; the completed card is written there too.
    """
    client = mlflow_client(settings)
    with mlflow_failures(settings):
        version = client.get_model_version(verdict.model, str(verdict.version))
        published = {f"{GATE}.sequence": str(verdict.champion_sequence), RULES: rules}
        if published.items() <= version.tags.items():
            return
        folder.mkdir(parents=True, exist_ok=True)
        for path in [_report(verdict, folder), *_completed_cards(verdict, gate, folder, settings)]:
            client.log_artifact(str(version.run_id), str(path), REPORTS)
        _tag(client, version, verdict)
        client.set_model_version_tag(version.name, version.version, RULES, rules)


def _report(verdict: GateVerdict, folder: Path) -> Path:
    path = folder / "gate.json"
    path.write_text(json.dumps(verdict.to_dict(), indent=2, ensure_ascii=False), encoding="utf-8")
    return path


def _completed_cards(verdict: GateVerdict, gate: Gate, folder: Path, settings: Settings) -> list[Path]:
    completed = []
    # Verified, because people open the completed card, and a replaced one could contain scripts.
    for name, text in fetched_texts(verdict.model, verdict.version, ("card.html", "card.md"), settings).items():
        card = with_verdict(text, verdict, gate) if name == "card.html" else with_verdict_md(text, verdict)
        (folder / name).write_text(card, encoding="utf-8")
        completed.append(folder / name)
    return completed


def _tag(client: MlflowClient, version: ModelVersion, verdict: GateVerdict) -> None:
    if RULES in version.tags:
        client.delete_model_version_tag(version.name, version.version, RULES)
    difference = verdict.comparison and verdict.comparison.difference
    tags = {
        f"{GATE}.metric": verdict.metric,
        f"{GATE}.value": verdict.value,
        f"{GATE}.floor": verdict.floor,
        f"{GATE}.gain": difference and difference.gain,
        f"{GATE}.low": difference and difference.low,
        f"{GATE}.high": difference and difference.high,
        f"{GATE}.champion": verdict.champion,
        f"{GATE}.mode": verdict.mode,
        f"{GATE}.reasons": "\n".join(verdict.reasons)[:MAX_TAG],
        GATE: GATE_WORDS[verdict.decision],
        f"{GATE}.sequence": verdict.champion_sequence,
    }
    for name, value in tags.items():
        if value is not None:
            client.set_model_version_tag(version.name, str(version.version), name, str(value))
        elif name in version.tags:  # of an earlier verdict
            client.delete_model_version_tag(version.name, str(version.version), name)
