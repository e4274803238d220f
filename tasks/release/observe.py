"""Read what both versions of a release did in a stage from the prediction log and the labels, or from Prometheus."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine

from core.gate.comparable import aligned
from core.prediction_ids import prediction_ids
from core.references import Variant
from core.release.observed import Observed
from core.release.recorded import RecordedPlan
from core.release.routing import entity_of
from store.releases.answers import Answer, Asked, answers, labels_since
from store.releases.records import ReleaseState
from tasks.release.monitoring import monitored_both

Labels = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Labelled:
    """A labelled prediction: id of the prediction that the client has, its label as text, and the output."""

    id: str
    label: str
    output: Any


def observe(engine: Engine, state: ReleaseState, recorded: RecordedPlan) -> tuple[Observed, Observed]:
    """Return what the champion and the challenger did in the present stage.

    While the release bakes, the champion's part is what the predecessor did in the stage before.

    Parameters
    ----------
    engine
        The operational database.
    state
        The release.
    recorded
        Its plan.
    """
    of_champion, of_challenger = _asked(state)
    if recorded.mesh is not None:
        return monitored_both(of_champion, of_challenger, recorded, recorded.mesh)
    labels = labels_since(engine, state.release.model, min(of_champion.since, of_challenger.since))
    sides = [answers(engine, asked) for asked in (of_champion, of_challenger)]
    labelled = [_labelled(side, labels) for side in sides]
    if state.newest.stage == "shadow":
        labelled = _paired(*labelled)
    champion = _observed(sides[0], labelled[0], recorded, is_challenger=False)
    return champion, _observed(sides[1], labelled[1], recorded, is_challenger=True)


def _asked(state: ReleaseState) -> tuple[Asked, Asked]:
    release, entered = state.release, state.entered
    model, since = release.model, entered.at
    if entered.stage == "bake":
        before = state.before or entered
        return (
            Asked(model, release.champion, "champion", before.at, since),
            Asked(model, release.version, "champion", since),
        )
    variant: Variant = "shadow" if entered.stage == "shadow" else "challenger"
    return Asked(model, release.champion, "champion", since), Asked(model, release.version, variant, since)


def _observed(
    side: Sequence[Answer], labelled: Sequence[Labelled], recorded: RecordedPlan, *, is_challenger: bool
) -> Observed:
    answered = [one for one in side if one.failure is None]
    counts = np.zeros(len(recorded.bins), dtype=np.int64)
    for one in answered:
        for output in json.loads(one.outputs):
            counts[recorded.bin_of(output, is_challenger=is_challenger)] += 1
    labels, scores = _arrays(labelled, recorded.classes_of(is_challenger=is_challenger), recorded.all_classes)
    return Observed(
        n_requests=len(side),
        n_failures=len(side) - len(answered),
        latencies_ms=np.array([one.latency_ms for one in answered], dtype=np.float64),
        predictions=counts,
        labels=labels,
        scores=scores,
        n_effective=_effective(_entity(one) for one in side) if side else None,
    )


def _entity(one: Answer) -> str | None:
    return entity_of(json.loads(one.entity_keys)) if one.entity_keys else None


def _effective(subjects: Iterable[str | None]) -> float:
    """Return the number of independent requests by Kish; a request without subject is one of its own."""
    found = Counter(subjects)
    alone = found.pop(None, 0)
    n, squares = alone + sum(found.values()), alone + sum(count**2 for count in found.values())
    return n**2 / squares


def _labelled(side: Sequence[Answer], labels: Labels) -> list[Labelled]:
    by_id, by_key = labels["id"], labels["key"]
    if not by_id and not by_key:
        return []
    found = []
    for one in side:
        if one.failure is not None:
            continue
        outputs = json.loads(one.outputs)
        keys = json.loads(one.entity_keys) if one.entity_keys else [None] * len(outputs)
        ids = prediction_ids(one.served_id or one.id, len(outputs))
        for prediction, key, output in zip(ids, keys, outputs, strict=True):
            label = by_id.get(prediction) or (by_key.get(str(key)) if key is not None else None)
            if label is not None:
                found.append(Labelled(prediction, label, output))
    return found


def _paired(champion: Sequence[Labelled], challenger: Sequence[Labelled]) -> list[list[Labelled]]:
    """Return the rows that both have, in the same order."""
    of_champion = {one.id: one for one in champion}
    both = [one for one in challenger if one.id in of_champion]
    return [[of_champion[one.id] for one in both], both]


def _arrays(labelled: Sequence[Labelled], classes: Sequence[str], all_classes: Sequence[str]) -> tuple[Any, Any]:
    """Return labels and outputs as arrays, of the classes of both versions; a class that one lacks is impossible to it.

    Labels that name no class of either version are left out.
    """
    if not classes:
        return (
            np.array([float(one.label) for one in labelled], dtype=np.float64),
            np.array([one.output for one in labelled], dtype=np.float64),
        )
    codes = {name: code for code, name in enumerate(all_classes)}
    known = [one for one in labelled if one.label in codes]
    labels = np.array([codes[one.label] for one in known], dtype=np.int64)
    scores = np.array([one.output for one in known], dtype=np.float64).reshape(len(known), len(classes))
    return labels, aligned(scores, classes, all_classes)
