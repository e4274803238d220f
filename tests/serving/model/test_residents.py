"""Which models leave memory for another one, and what a model takes there."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from serving.bundle.reader import PIPELINE, read_manifest
from serving.model.residents import MODEL_BYTES, STAY_FACTOR, Resident, Room, memory_of, room_for
from tests.serving.running import Example


def _resident(size: int, used: float, *, since: float = 0.0, took: float = 0.0) -> Resident:
    return Resident(size, since=since, took=took, used=used)


def test_the_least_recently_used_leave_first() -> None:
    """No more of them than is necessary."""
    residents = {"a": _resident(30, 3.0), "b": _resident(30, 1.0), "c": _resident(30, 2.0)}
    assert room_for(10, residents, 100, 9.0) == Room()
    assert room_for(11, residents, 100, 9.0) == Room(("b",))
    assert room_for(60, residents, 100, 9.0) == Room(("b", "c"))


def test_a_model_stays_for_ten_times_its_load() -> None:
    """Two models that do not fit together take turns, and spend a tenth of the time on loads."""
    residents = {"old": _resident(60, 1.0, took=0.5), "new": _resident(40, 9.0, since=8.0, took=0.5)}
    assert room_for(60, residents, 100, 10.0) == Room(("old",))
    assert room_for(61, residents, 100, 10.0) == Room(wait=8.0 + STAY_FACTOR * 0.5 - 10.0)
    assert room_for(61, residents, 100, 13.0) == Room(("old", "new"))


def test_a_model_above_the_bound_is_loaded_alone() -> None:
    """Otherwise it could never be served."""
    assert room_for(500, {}, 100, 0.0) == Room()
    assert room_for(500, {"a": _resident(10, 1.0), "b": _resident(10, 2.0)}, 100, 3.0) == Room(("a", "b"))


@given(
    size=st.integers(0, 300),
    residents=st.lists(
        st.builds(
            Resident, size=st.integers(1, 90), since=st.floats(0, 9), took=st.floats(0, 1), used=st.floats(0, 10)
        ),
        max_size=6,
    ),
)
def test_room_is_within_the_bound_or_later(size: int, residents: list[Resident]) -> None:
    """Whatever is in memory: what stays fits with the new model, or a time is named at which more may leave."""
    held = {str(number): one for number, one in enumerate(residents)}
    room = room_for(size, held, 100, 10.0)
    left = sum(one.size for name, one in held.items() if name not in room.leaving)
    assert room.wait > 0 or left == 0 or min(size, 100) + left <= 100
    assert room.wait == 0 or not room.leaving
    later = room_for(size, held, 100, 10.0 + STAY_FACTOR)
    assert later.wait == 0


def test_memory_is_estimated_from_the_files(examples: dict[str, Example]) -> None:
    """A graph takes several times its size, a pipeline about its own."""
    for name in ("credit", "grade"):
        state = examples[name].state
        manifest = read_manifest(Path(state.folder), state.manifest)
        graph = manifest.by_path.get("model.onnx")
        size = memory_of(manifest)
        assert size > MODEL_BYTES + (4 * graph.size if graph else manifest.by_path[PIPELINE].size)
