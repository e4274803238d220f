"""A version that passed the gate while another was released starts after it."""

from __future__ import annotations

import json

import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.release.outcome import ReleaseOutcome
from store.champions import champion_history
from store.releases.releases import running_release
from tasks.release.people import abort
from tasks.release.waiting import start_waiting, waiting_verdict
from tests.tasks.judging import add_data, config_of, register_version, settle, train
from tests.tasks.release.traffic import QUICK, database, log

pytestmark = [
    pytest.mark.usefixtures("warm_steps"),
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

OVER = ReleaseOutcome("credit", "rolled_back", ("why",))


def _write(settings: Settings, config: ModelConfig) -> None:
    path = settings.root / "config" / "models" / "credit.yaml"
    path.write_text(json.dumps(config.model_dump(mode="json", exclude_none=True)))


@pytest.mark.slow
def test_a_version_waits_for_the_end_of_the_release(registry: Settings) -> None:
    """The gate starts a release where there is traffic; a second version starts when the first has ended."""
    full, other = config_of(release=QUICK), config_of(release=QUICK, training={"params": {"C": 0.5}})
    data = add_data(registry, full)
    train(registry, config_of("age", gate={"floor": 0.4}, release=QUICK), data)
    log(registry, 1, "champion", 20)
    first = train(registry, full, data)
    assert first is not None
    running = running_release(database(registry), "credit")
    assert running is not None
    assert (running.release.version, running.release.kind, running.release.reason) == (2, "gate", first.reasons[0])
    assert settle(registry, register_version(registry, full, data)) is None
    train(registry, other, data)
    _write(registry, other)
    assert running_release(database(registry), "credit") == running
    assert start_waiting(OVER, registry) == OVER
    assert waiting_verdict(database(registry), "credit", registry) is None
    abort("credit", "complaints", registry)
    verdict = waiting_verdict(database(registry), "credit", registry)
    assert verdict is not None
    assert verdict.version == 3
    assert start_waiting(OVER, registry).next_version == 3
    second = running_release(database(registry), "credit")
    assert second is not None
    assert (second.release.version, second.release.number) == (3, 2)
    assert [entry.version for entry in champion_history(database(registry), "credit")] == [1]
