"""A release that runs in a service: two versions of a model with bundles of their own, and faults in one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from sklearn.linear_model import LogisticRegression

from core.drift.profile import reference_profile
from serving.http.loaded import Loaded
from serving.instance.state import ModelState, ReleasedState
from serving.model.served import Batcher
from tests.factories import credit_config
from tests.serving.bundles import answers, make_bundle
from tests.serving.running import Example, Running, await_that, model_state
from tests.tasks.registration import FRAME, fit_pipeline

SINCE = "2026-01-02T03:04:05+00:00"


def second_version(folder: Path, *, extra: bool = False) -> Example:
    """Return version 2 of the credit model; ``extra``: with a further column that version 1 does not have."""
    frame, config = FRAME, credit_config()
    if extra:
        frame = FRAME.assign(loans=1.0)
        config = credit_config(
            features={"numeric": ["income", "age", "loans"], "categorical": ["region"], "boolean": ["owner"]}
        )
    fitted = fit_pipeline(LogisticRegression(C=0.001), config, frame)
    y = frame["age"].gt(40).to_numpy("int64")
    profile = reference_profile(frame, y, answers(fitted, frame), fitted[1]).to_dict()
    bundle = make_bundle(
        folder / f"second{extra:d}", fitted, graph=True, frame=frame, key="b", documents={"profile.json": profile}
    )
    return Example(model_state(bundle, "credit", version=2), frame, fitted[1])


def releasing(champion: ModelState, other: ModelState, **changes: Any) -> ModelState:
    """Return a champion with a running release; by default every request goes to the other version."""
    release = ReleasedState(
        number=1,
        stage="step",
        share=100,
        salt="salt",
        version=other.version,
        manifest=other.manifest,
        folder=other.folder,
        data_version=other.data_version,
        since=SINCE,
    )
    return msgspec.structs.replace(champion, release=msgspec.structs.replace(release, **changes))


def other_of(service: Running, model: str = "credit") -> Loaded:
    """Return the version beside the champion, once it is loaded."""

    def found() -> Loaded | None:
        routing = service.service.models[model].routing
        return routing.other if routing is not None else None

    await_that(lambda: found() is not None)
    other = found()
    assert other is not None
    return other


def spoil(loaded: Loaded, compute: Callable[[Any], Any], *, queued: bool = False) -> None:
    """Put a fault into what a loaded version computes: ``compute`` gets the true answers."""
    model = loaded.model
    true = model._answers

    def spoilt(columns: list[Any]) -> Any:
        return compute(true(columns))

    object.__setattr__(model, "_answers", spoilt)
    object.__setattr__(model, "_queue", Batcher(spoilt) if queued else None)
