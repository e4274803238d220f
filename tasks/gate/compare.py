"""Compare two registered versions on request, by the gate's rules."""

from __future__ import annotations

from config.load import load_model_config
from config.settings import Settings
from core.errors import ConfigError, DataVersionError
from core.gate.decision import GateVerdict
from tasks.registry.versions import version_number
from tasks.runs.lock import hold_model
from tasks.runs.progress import step
from tasks.train.training_run import training_run
from tasks.versions.versions import data_history


def compare_versions(
    first: str, second: str, data_version: str | None, settings: Settings, wait_seconds: float = 0.0
) -> GateVerdict:
    """Return the gate's verdict on ``second`` as challenger to ``first``; nothing is recorded, counted or moved.

    Parameters
    ----------
    first, second
        ``model@version`` or ``model@alias``, of one model.
    data_version
        Data version from which the holdout is taken; None for the newest.

    Raises
    ------
    ConfigError
        The two are not versions of one model.
    ModelNotFoundError, DataVersionError, BundleError
        The model, version or data does not exist, or the challenger's bundle is broken.
    """
    from tasks.gate.judgement import Baseline, judgement

    model, numbers = _parsed(first, second)
    config = load_model_config(settings.root, model)
    champion, challenger = (version_number(model, selector, settings) for selector in numbers)
    if champion == challenger:
        raise ConfigError(f"{first} and {second} are both version {champion}; name two versions")
    with hold_model(model, settings, wait_seconds):
        with step("Laying out the snapshot"):
            run = training_run(config, data_version or _newest_data(model, settings), "compare", settings)
        with step("Comparing"):
            return judgement(run, challenger, Baseline(champion), settings).verdict


def _parsed(first: str, second: str) -> tuple[str, tuple[str, str]]:
    (model, _, one), (other, _, two) = first.partition("@"), second.partition("@")
    if model != other or not one or not two:
        raise ConfigError(
            f"expected two versions of one model, such as credit@3 credit@4 or credit@champion credit@5, "
            f"found {first} {second}"
        )
    return model, (one, two)


def _newest_data(model: str, settings: Settings) -> str:
    history = data_history(model, settings)
    if history.current is not None:
        return history.current
    if not history.versions:
        raise DataVersionError(f"no data version of {model!r} is known here; name one with --data-version")
    return history.versions[-1].version
