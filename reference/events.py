"""The page of events: each as the builder of the program makes it, from an example."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from core.drift.verdict import DriftVerdict, WindowFacts
from core.operate import events
from core.operate.events import MAX_ITEMS, MAX_TEXT, Event
from reference.markdown import code, document, table

LEAD = f"""
The events of a model, as Prefect's automations receive them; [Events and alerts](../events.md) explains how to act on
them. The resource of each event is the model: `prefect.resource.id` is `perennial.model.<model>`. Automations match the
labels of resources, not payloads. Texts of a payload are cut after {MAX_TEXT:,} characters, lists after {MAX_ITEMS}
items. Each event is shown as it is sent.
"""

AT = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
DATA = "3f2a91c07b1d4e5f8a6b9c0d1e2f3a4b"


@dataclass(frozen=True)
class Documented:
    """An event with when it is sent."""

    event: Event
    when: str


def documented() -> tuple[Documented, ...]:
    """Return every event there is, each with an example."""
    return (
        Documented(_drift(), "A window of rows was judged to be `drift`; once for each decision."),
        Documented(_data(), "The rows of a model are a data version that never existed before."),
        Documented(_registered(), "A version is complete in the registry and not judged yet."),
        Documented(_moved("gate"), "A version became champion by the gate or by a person (`approval`)."),
        Documented(_moved("rollback"), "A rollback made the champion before the present one champion again."),
        Documented(_released("started"), "A release began."),
        Documented(_released("advanced"), "A release went on to its next stage; `promoted`: its version is champion."),
        Documented(
            _released("rolled_back"),
            "A release ended without its version: it was `rolled_back`, `aborted` by a person, or `superseded`.",
        ),
        Documented(_released("completed"), "A release is over, and its version keeps all of the traffic."),
        Documented(_refused(), f"A trigger was answered without a new champion. Codes: {_codes()}."),
        Documented(_failed(), "A trigger came to no answer after all attempts."),
        Documented(_pruned(), "Retention is about to remove what is named; the resource may be `perennial.project`."),
    )


def _codes() -> str:
    return ", ".join(code(one) for one in get_args(events.RefusalCode))


def _drift() -> Event:
    verdict = DriftVerdict(
        id="0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        model="credit",
        champion=3,
        against="champion",
        status="drift",
        drifted=True,
        retrain=True,
        harmed=True,
        importance_share=0.42,
        columns=(),
        performance=(),
        bias=None,
        n_signals=2,
        n_windows=3,
        reasons=("42 % of the importance drifted, in 2 of the last 3 windows",),
        window=WindowFacts(batches=("2026-02",), n_rows=2000),
        measured_at=AT,
    )
    return events.drift_detected(verdict, "var/reports/credit/drift.html")


def _data() -> Event:
    return events.data_versioned("credit", DATA, n_rows=26_000, n_batches=13, git_commit="", has_champion=True, at=AT)


def _registered() -> Event:
    return events.model_registered("credit", 4, run_id="5d41402abc4b2a76", data_version=DATA, trigger="drift", at=AT)


def _moved(kind: str) -> Event:
    reason, version, previous = ("better by the gate", 4, 3) if kind == "gate" else ("complaints", 3, 4)
    return events.champion_changed(
        "credit", sequence=5, version=version, previous=previous, kind=kind, reason=reason, actor="gate", at=AT
    )


def _released(told: str) -> Event:
    reason, action, stage, share = {
        "started": ("better by the gate", "started", "shadow", 0),
        "advanced": ("every guardrail holds after 412 requests", "advanced", "step", 25),
        "rolled_back": ("9.8 % of its requests failed, 0.1 % of the champion's", "rolled_back", "over", 0),
        "completed": ("no breach in 24 hours at 100 %", "completed", "over", 100),
    }[told]
    return events.release_changed(
        "credit",
        told,
        number=2,
        sequence=3,
        version=4,
        champion=3,
        action=action,
        stage=stage,
        share=share,
        reason=reason,
        actor="release",
        at=AT,
    )


def _refused() -> Event:
    return events.retrain_refused(
        "credit", "standard:ci:42", "cooldown", "the last retraining began 10 minutes ago", DATA, AT
    )


def _failed() -> Event:
    return events.retrain_failed("credit", "standard:ci:42", "the run crashed 3 times", AT)


def _pruned() -> Event:
    removed = {"kind": "version files", "n": 1, "size_bytes": 1_935_000, "names": ["version 2"]}
    return events.retention_pruned("credit", [removed], AT)


def page() -> str:
    """Return the page."""
    return document("Events", LEAD, [(code(one.event.name), _body(one)) for one in documented()])


def _body(one: Documented) -> str:
    sent = one.event.to_prefect()
    labels = [("label", code(name), code(value)) for name, value in one.event.labels.items()]
    related = [("related resource", code(role), code(resource)) for role, resource in one.event.related.items()]
    payload = [("payload", code(name), _type(value)) for name, value in one.event.payload.items()]
    fields = table(("part", "name", "value"), [*labels, *related, *payload])
    example = json.dumps(sent, indent=2, ensure_ascii=False)
    return f"{one.when}\n\n{fields}\n```json\n{example}\n```"


def _type(value: Any) -> str:
    names = {str: "text", bool: "`true` | `false`", int: "integer", float: "number", list: "list", dict: "mapping"}
    return names.get(type(value), "none")
