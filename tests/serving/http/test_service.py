"""What a worker holds, followed from the state's file."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from config.settings import ServingSettings
from serving.access.access import Access
from serving.access.rates import SharedRates
from serving.http.loaded import Loaded
from serving.http.service import Service
from serving.instance.state import STATE, ModelState, ServiceState, write_state
from serving.model import residents
from serving.problems import Problem
from serving.processes.worker import build_service
from serving.telemetry.metrics import Metrics
from tests.serving.access.issuer import jwks
from tests.serving.running import Example, changed, make_key


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service that has looked at nothing yet."""
    settings = ServingSettings(access="required")
    with closing(SharedRates(tmp_path / "rates")) as rates:
        address = f"sqlite:///{tmp_path / 'p.db'}"
        yield build_service(settings, tmp_path, address, Metrics(), Access(settings, rates))


@pytest.fixture(scope="module")
def credit(examples: dict[str, Example]) -> ModelState:
    """Return the state of a sound version."""
    return examples["credit"].state


def _follow(
    service: Service, folder: Path, models: Sequence[ModelState], trouble: dict[str, str] | None = None
) -> None:
    write_state(folder, ServiceState(tuple(models), (), trouble or {}))
    asyncio.run(service.look())


def _refusal(service: Service, name: str) -> tuple[str, str]:
    with pytest.raises(Problem) as caught:
        service.loaded(name)
    return caught.value.kind, caught.value.detail


def test_before_the_first_state_nothing_is_ready(service: Service) -> None:
    """A client may come back in a second."""
    asyncio.run(service.look())
    assert service.not_ready_because() == "no champion is known yet"
    with pytest.raises(Problem, match="no champion is known yet") as caught:
        service.loaded("credit")
    assert (caught.value.kind, caught.value.headers) == ("no-model", ((b"retry-after", b"1"),))


def test_a_version_that_does_not_load_leaves_the_one_before(
    service: Service, tmp_path: Path, credit: ModelState
) -> None:
    """It is counted once per change of the state, and the service stays ready."""
    _follow(service, tmp_path, [credit])
    before = service.loaded("credit")
    _follow(service, tmp_path, [changed(credit, version=2, manifest="0" * 64)])
    asyncio.run(service.look())
    assert service.loaded("credit") is before
    assert service.not_ready_because() is None
    counts = [service.metrics.swaps.labels("credit", result)._value.get() for result in ("loaded", "refused")]
    assert counts == [1, 1]


def test_the_same_version_is_not_loaded_again(service: Service, tmp_path: Path, credit: ModelState) -> None:
    """What is said of it may have changed."""
    _follow(service, tmp_path, [credit])
    before = service.loaded("credit").model
    _follow(service, tmp_path, [changed(credit, reason="another")])
    assert service.loaded("credit").model is before
    assert service.loaded("credit").state.reason == "another"


def test_a_model_that_is_gone_is_not_served(service: Service, tmp_path: Path, credit: ModelState) -> None:
    """The refusal lists those that are; a name is cut."""
    _follow(service, tmp_path, [credit])
    assert _refusal(service, "n" * 100) == (
        "not-found",
        f"no model '{'n' * 63}' is served here; served models: credit",
    )
    _follow(service, tmp_path, [])
    assert _refusal(service, "credit")[1] == "no model 'credit' is served here; served models: none"
    assert service.not_ready_because() == "no model is loaded"


def test_a_model_that_cannot_be_served_is_told_from_an_unknown_one(
    service: Service, tmp_path: Path, credit: ModelState
) -> None:
    """By this worker, or by the follower before it."""
    _follow(service, tmp_path, [changed(credit, manifest="0" * 64)], {"grade": "its bundle is gone"})
    for name in ("credit", "grade"):
        assert _refusal(service, name) == ("no-model", f"no version of {name!r} could be loaded; see the log")
    assert service.not_ready_because() == "no model is loaded; credit could not be loaded"


def test_a_damaged_state_changes_nothing(service: Service, tmp_path: Path, credit: ModelState) -> None:
    """The next sound one does."""
    _follow(service, tmp_path, [credit])
    (tmp_path / STATE).write_bytes(b"{")
    asyncio.run(service.look())
    assert service.not_ready_because() is None
    _follow(service, tmp_path, [])
    assert service.models == {}


def test_keys_are_those_of_the_state(service: Service, tmp_path: Path) -> None:
    """From the next look on, and no others."""
    (key, text), header = make_key("predict"), b"Bearer "
    write_state(tmp_path, ServiceState((), (key,)))
    asyncio.run(service.look())
    caller = asyncio.run(service.access.caller(header + text.encode(), "10.0.0.1"))
    assert caller.name == "shop"
    _follow(service, tmp_path, [])
    with pytest.raises(Problem):
        asyncio.run(service.access.caller(header + text.encode(), "10.0.0.1"))


def test_a_service_that_ends_is_not_ready(service: Service, tmp_path: Path, credit: ModelState) -> None:
    """Although it answers; requests that are held back do not count as work."""
    _follow(service, tmp_path, [credit])
    service.draining = True
    assert service.not_ready_because() == "the service is shutting down"
    service.count_requests_by(lambda: 5)
    service.held = 2
    assert service.in_flight == 3


@pytest.mark.parametrize("mode", ["commit", "async"])
def test_without_a_log_only_commit_is_not_ready(
    service: Service, tmp_path: Path, credit: ModelState, mode: Literal["commit", "async"]
) -> None:
    """Each of its predictions is refused, so no request should be sent here; the reason names no database."""
    _follow(service, tmp_path, [credit])
    service.settings = service.settings.model_copy(update={"log": mode})
    assert service.not_ready_because() is None
    service.log._down = "the operational database postgresql://ada@db.internal/x failed"
    reason = service.not_ready_because()
    assert (reason is None) == (mode == "async")
    assert reason is None or ("the prediction log cannot be written" in reason and "db.internal" not in reason)
    service.log._down = None
    assert service.not_ready_because() is None


def test_a_service_that_can_verify_nobody_is_not_ready(tmp_path: Path, credit: ModelState) -> None:
    """Without the issuer's public keys and without API keys, each request would be refused."""
    keys = "https://idp.example.org/keys"
    settings = ServingSettings(access="required", jwks_url=keys, jwt_issuer="i", jwt_audience="a")
    with closing(SharedRates(tmp_path / "rates")) as rates:
        access = Access(settings, rates)
        service = build_service(settings, tmp_path, f"sqlite:///{tmp_path / 'p.db'}", Metrics(), access)
        _follow(service, tmp_path, [credit])
        assert "no access token can be verified yet" in str(service.not_ready_because())
        access.replace_keys([make_key("predict")[0]])
        assert service.not_ready_because() is None
        access.replace_keys([])
        access.replace_jwks(jwks())
        assert service.not_ready_because() is None


@pytest.fixture
def crowded(service: Service, tmp_path: Path, examples: dict[str, Example]) -> Service:
    """Return a service of three models whose memory holds one."""
    service.settings = service.settings.model_copy(update={"models_memory_mb": 0.8})
    _follow(service, tmp_path, [examples[name].state for name in ("credit", "grade", "price")])
    return service


def _counted(service: Service, name: str) -> dict[str, float]:
    results = ("loaded", "unloaded", "refused")
    return {result: service.metrics.swaps.labels(name, result)._value.get() for result in results}


async def _asked(service: Service, *names: str) -> list[str | Problem]:
    found = await asyncio.gather(*map(service.in_memory, names), return_exceptions=True)
    return [one.model.name if isinstance(one, Loaded) else one for one in found]  # type: ignore[misc] # raises otherwise


def test_models_beyond_the_memory_wait_for_their_first_request(crowded: Service) -> None:
    """They are served and described, and many requests at once load one once; the least recently used model leaves."""
    assert (set(crowded.models), set(crowded.served)) == ({"credit"}, {"credit", "grade", "price"})
    assert crowded.not_ready_because() is None
    assert crowded.loaded("price").model.contract.task == "regression"
    assert not asyncio.run(crowded.load_ahead())
    assert asyncio.run(_asked(crowded, *["price"] * 20)) == ["price"] * 20
    assert set(crowded.models) == {"price"}
    assert _counted(crowded, "price") == {"loaded": 1, "unloaded": 0, "refused": 0}
    assert _counted(crowded, "credit") == {"loaded": 1, "unloaded": 1, "refused": 0}
    crowded.measure()
    assert crowded.metrics.models_loaded._value.get() == 1
    assert 0 < crowded.metrics.models_memory._value.get() < 0.8 * 2**20


def test_models_are_loaded_before_their_requests_while_there_is_memory(crowded: Service) -> None:
    """One after the other, so that the state is read in between; ready is the service before that."""
    crowded.settings = crowded.settings.model_copy(update={"models_memory_mb": 16})

    async def loaded() -> list[bool]:
        return [await crowded.load_ahead() for _ in range(3)]

    assert asyncio.run(loaded()) == [True, True, False]
    assert set(crowded.models) == {"credit", "grade", "price"}


def test_models_take_turns_in_a_memory_for_one(crowded: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests for all of them at once are all answered, and none is loaded twice."""
    monkeypatch.setattr(residents, "STAY_FACTOR", 0.1)  # a busy machine loads so slowly that requests would not wait
    assert asyncio.run(_asked(crowded, *["grade", "price", "credit"] * 5)) == ["grade", "price", "credit"] * 5
    assert all(_counted(crowded, name)["loaded"] <= 2 for name in ("credit", "grade", "price"))


def test_a_model_under_load_is_not_driven_out(crowded: Service) -> None:
    """Its load took a second, so that it stays for ten; the other's request is told when to come again."""
    crowded.models["credit"].resident.took = 1.0
    (found,) = asyncio.run(_asked(crowded, "price"))
    assert isinstance(found, Problem)
    assert (found.kind, "taken by others" in found.detail) == ("no-model", True)
    assert 1 < int(dict(found.headers)[b"retry-after"]) <= 10
    assert set(crowded.models) == {"credit"}


def test_a_request_that_gives_up_ends_no_load(crowded: Service) -> None:
    """Others wait for the same load."""

    async def asked() -> list[str | Problem]:
        given_up = asyncio.create_task(crowded.in_memory("price"))
        await asyncio.sleep(0)
        given_up.cancel()
        return await _asked(crowded, "price")

    assert asyncio.run(asked()) == ["price"]
    assert _counted(crowded, "price")["loaded"] == 1


def test_a_new_champion_replaces_an_unloaded_one(
    crowded: Service, tmp_path: Path, examples: dict[str, Example]
) -> None:
    """The next request loads the new version; a model that is gone is served no more."""
    price = changed(examples["price"].state, version=7)
    _follow(crowded, tmp_path, [examples["credit"].state, price])
    assert (crowded.loaded("price").model.version, set(crowded.models)) == (7, {"credit"})
    assert asyncio.run(crowded.in_memory("price")).model.version == 7
    assert set(crowded.served) == {"credit", "price"}


def test_an_unloaded_bundle_that_was_changed_is_refused(
    crowded: Service, tmp_path: Path, examples: dict[str, Example]
) -> None:
    """Its requests are, at once until the next attempt; those of the others are answered."""
    folder = shutil.copytree(examples["price"].state.folder, tmp_path / "price")
    _follow(crowded, tmp_path, [examples["credit"].state])
    _follow(
        crowded, tmp_path, [examples["credit"].state, changed(examples["price"].state, folder=str(folder), version=2)]
    )
    (folder / "model.onnx").write_bytes(b"another")
    for _ in range(2):
        (found,) = asyncio.run(_asked(crowded, "price"))
        assert isinstance(found, Problem)
        assert found.detail == "no version of 'price' could be loaded; see the log"
    assert _counted(crowded, "price")["refused"] == 1
    assert asyncio.run(_asked(crowded, "credit")) == ["credit"]


def test_an_unloaded_version_that_does_not_load_leaves_the_one_before(
    crowded: Service, tmp_path: Path, examples: dict[str, Example]
) -> None:
    """As for a model in memory: no request is refused because of a new champion."""
    states = [examples[name].state for name in ("credit", "price")]
    for version in (2, 3):
        folder = shutil.copytree(states[1].folder, tmp_path / f"price-{version}")
        _follow(crowded, tmp_path, [states[0], changed(states[1], folder=str(folder), version=version)])
        (folder / "model.onnx").write_bytes(b"another")
    assert asyncio.run(crowded.in_memory("price")).model.version == states[1].version
    assert _counted(crowded, "price") == {"loaded": 1, "unloaded": 0, "refused": 1}
    _follow(crowded, tmp_path, [states[0], changed(states[1], version=4)])
    assert asyncio.run(crowded.in_memory("price")).model.version == 4
