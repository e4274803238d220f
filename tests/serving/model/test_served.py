"""The model that the service holds says what the same bundle says offline."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.errors import BundleError
from core.row_limits import MAX_NUMBER, MAX_TEXT
from serving.bundle.predictor import load_predictor
from serving.model.rows import Column
from serving.model.served import MAX_INLINE_ROWS, Batcher, ServedModel, load_model
from serving.problems import Problem
from tests.serving.bundles import TRUSTED, copied, reseal
from tests.serving.running import Example, Row

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("credit", "grade", "price")


def _load(example: Example, **changes: Any) -> ServedModel:
    state = example.state
    given = {"name": state.name, "version": 1, **changes}
    return load_model(Path(state.folder), state.manifest, TRUSTED, **given)


def _ask(model: ServedModel, rows: list[Row]) -> list[Any]:
    read = model.reader.read(json.dumps({"rows": rows}).encode())
    return asyncio.run(model.answer(read.values))


@pytest.fixture(scope="module")
def served(examples: dict[str, Example]) -> dict[str, ServedModel]:
    """Return the models as a worker holds them."""
    return {name: _load(example) for name, example in examples.items()}


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_the_offline_ones(name: str, examples: dict[str, Example], served: dict[str, ServedModel]) -> None:
    """To the last bit, whether a graph answers or a pipeline, and however many rows are asked at once."""
    example, model = examples[name], served[name]
    predictor = load_predictor(Path(example.state.folder), example.state.manifest, TRUSTED)
    assert model.kind == predictor.kind
    expected = predictor.predict(example.frame)
    assert np.array_equal(np.asarray(_ask(model, example.rows(len(expected)))), expected)
    for first in range(0, 60, 7):
        few = example.frame.iloc[first : first + 7]
        assert np.array_equal(np.asarray(_ask(model, example.rows(7, first))), predictor.predict(few))
        assert np.array_equal(np.asarray(_ask(model, example.rows(1, first)))[0], predictor.predict(few.iloc[:1])[0])


def test_the_kinds_are_served(examples: dict[str, Example], served: dict[str, ServedModel]) -> None:
    """With a graph and without, with two classes, three and none."""
    assert {name: (model.kind, model.contract.task) for name, model in served.items()} == {
        "credit": ("onnx", "binary"),
        "grade": ("skops", "multiclass"),
        "price": ("onnx", "regression"),
    }
    assert len(examples["price"].frame) > MAX_INLINE_ROWS  # so that both ways to a graph are gone above


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_extreme_values_are_answered_or_refused(
    name: str, data: st.DataObject, examples: dict[str, Example], served: dict[str, ServedModel]
) -> None:
    """Never an error of ours: finite numbers come back, or a problem with the row's place."""
    contract = examples[name].contract
    extreme = st.sampled_from([None, 0, -0.0, 1e-45, MAX_NUMBER, -MAX_NUMBER]) | st.floats(-MAX_NUMBER, MAX_NUMBER)
    rare = st.sampled_from([None, "", "\0", "north\0", "x" * MAX_TEXT, "\U0001f600", "(missing)"]) | st.text(
        st.characters(codec="utf-8"), max_size=5
    )
    day = st.sampled_from([None, "1678-01-01", "2261-12-31T23:59:59.999999", "2024-02-29"])
    kinds = {"numeric": extreme, "categorical": rare, "boolean": st.none() | st.booleans(), "dates": day}
    fields = {column: kind for names, kind in kinds.items() for column in getattr(contract, names)}
    rows = data.draw(st.lists(st.fixed_dictionaries(fields), min_size=1, max_size=4))
    try:
        answers = _ask(served[name], rows)
    except Problem as problem:
        assert (problem.status, problem.errors[0].pointer[:6]) == (422, "/rows/")  # noqa: PT017 - either is right
    else:
        assert np.isfinite(np.asarray(answers)).all()


def test_a_row_without_a_finite_answer_is_named(served: dict[str, ServedModel]) -> None:
    """The caller can send the others again without it."""
    model = served["price"]

    def overflown(columns: list[Column]) -> Any:
        return np.where(columns[0] > 100, np.inf, columns[0])

    broken = ServedModel(
        **{**{name: getattr(model, name) for name in model.__dataclass_fields__}, "_answers": overflown}
    )
    rows = [dict.fromkeys(model.contract.raw_columns) | {"income": income} for income in (1, 2, 300, 4)]
    with pytest.raises(Problem, match="answer to row 2 is not finite") as caught:
        _ask(broken, rows)
    assert (caught.value.status, caught.value.errors[0].pointer) == (422, "/rows/2")


def test_bins_are_the_deciles_of_the_reference(examples: dict[str, Example], served: dict[str, ServedModel]) -> None:
    """The reference asked again falls into them as its profile says, though a graph rounds otherwise."""
    for name in ("credit", "price"):
        model = served[name]
        answers = _ask(model, examples[name].rows(300))
        counts = np.bincount([model.bin_of(answer) for answer in answers], minlength=len(model.bins))
        assert len(counts) == len(model.bins) == len(model.edges) + 1
        assert model.bins[-1] == "+Inf"
        assert len(set(model.bins)) == len(model.bins)
        assert counts.tolist() == model.profile["prediction"]["counts"]


def test_the_bin_of_a_class_is_its_name(examples: dict[str, Example], served: dict[str, ServedModel]) -> None:
    """Of three classes the likeliest is counted."""
    model = served["grade"]
    assert model.bins == model.contract.classes
    for answer in _ask(model, examples["grade"].rows(50)):
        assert model.bin_of(answer) == int(np.argmax(answer))


def test_another_models_bundle_is_not_served(examples: dict[str, Example]) -> None:
    """However well it is sealed."""
    with pytest.raises(BundleError, match="expected a bundle of 'price'"):
        _load(examples["credit"], name="price")


def test_a_bundle_that_cannot_answer_its_example_is_not_served(examples: dict[str, Example], tmp_path: Path) -> None:
    """Neither one whose example is another contract's, nor one whose example is no table."""
    from tasks.registry.bundle import Bundle

    state = examples["credit"].state
    folder = copied(Bundle(Path(state.folder), state.manifest, ()), tmp_path)
    for content, reason in (
        ({"columns": ["income"], "data": [[1.0]]}, "does not match its contract"),
        ({"columns": ["income"], "data": [[1.0, 2.0]]}, "not a table of rows"),
        ({"columns": 1, "data": [[1.0]]}, "not a table of rows"),
        ([], "not a JSON object"),
    ):
        (folder / "input_example.json").write_text(json.dumps(content))
        with pytest.raises(BundleError, match=reason):
            load_model(folder, reseal(folder), TRUSTED, name="credit", version=1)


class Adder:
    """Answers the sum of a row's columns, when it is let."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.may = threading.Event()
        self.error: Exception | None = None

    def __call__(self, columns: list[Column]) -> Any:
        """Answer columns."""
        self.calls.append(len(columns[0]))
        assert self.may.wait(120)
        if self.error is not None:
            raise self.error
        return np.sum(columns, axis=0)


def _columns(*values: float) -> list[Column]:
    column = np.array(values, dtype=np.float32).reshape(-1, 1)
    return [column, 10 * column]


async def _until(adder: Adder, calls: int) -> None:
    while len(adder.calls) < calls:
        await asyncio.sleep(0.001)


def test_what_waits_together_is_answered_together() -> None:
    """Each request gets the answers to its own rows, and calls are no larger than they may be."""
    adder = Adder()

    async def story() -> Any:
        batcher = Batcher(adder, max_rows=4)
        first = asyncio.create_task(batcher.answer(1, _columns(1)))
        await _until(adder, 1)
        others = [asyncio.create_task(batcher.answer(n, _columns(*range(n)))) for n in (1, 2, 3, 9, 1, 1)]
        await asyncio.sleep(0.01)
        adder.may.set()
        return await asyncio.gather(first, *others)

    found = asyncio.run(story())
    assert [answer[:, 0].tolist() for answer in found] == [
        [11.0],
        *([11.0 * value for value in range(n)] for n in (1, 2, 3, 9, 1, 1)),
    ]
    assert adder.calls == [1, 3, 3, 9, 2]


def test_an_error_is_told_to_all_who_wait_and_the_next_are_answered() -> None:
    """Also one that nobody foresaw: it must leave nobody waiting."""

    async def story(error: Exception) -> None:
        adder = Adder()
        adder.error = error
        adder.may.set()
        batcher = Batcher(adder)
        found = await asyncio.wait_for(
            asyncio.gather(*(batcher.answer(1, _columns(n)) for n in range(3)), return_exceptions=True), 5
        )
        assert found == [error] * 3
        adder.error = None
        assert (await asyncio.wait_for(batcher.answer(1, _columns(2)), 5)).tolist() == [[22.0]]

    asyncio.run(story(BundleError("no answer")))
    asyncio.run(story(KeyError("region")))


def test_who_gave_up_is_not_answered_and_holds_up_nobody() -> None:
    """Neither before its call nor during it."""
    adder = Adder()

    async def story() -> Any:
        batcher = Batcher(adder)
        during = asyncio.create_task(batcher.answer(1, _columns(1)))
        await _until(adder, 1)
        before, after = (asyncio.create_task(batcher.answer(1, _columns(n))) for n in (2, 3))
        await asyncio.sleep(0.01)
        for task in (during, before):
            task.cancel()
        await asyncio.sleep(0.01)
        adder.may.set()
        return await asyncio.wait_for(asyncio.gather(during, before, after, return_exceptions=True), 5)

    during, before, after = asyncio.run(story())
    assert isinstance(during, asyncio.CancelledError)
    assert isinstance(before, asyncio.CancelledError)
    assert after.tolist() == [[33.0]]
    assert adder.calls == [1, 1]


def test_requests_that_come_at_once_share_calls_of_a_pipeline(
    examples: dict[str, Example], served: dict[str, ServedModel]
) -> None:
    """And each has the answer it would have had alone."""
    model, example = served["grade"], examples["grade"]
    read = [model.reader.read(json.dumps({"rows": [row]}).encode()) for row in example.rows(40)]

    async def story() -> Any:
        return await asyncio.gather(*(model.answer(rows.values) for rows in read))

    together = [answer for (answer,) in asyncio.run(story())]
    assert together == [_ask(model, [row])[0] for row in example.rows(40)]


@pytest.mark.parametrize("name", ["credit", "price"])
def test_an_answer_does_not_depend_on_the_other_rows(
    examples: dict[str, Example], served: dict[str, ServedModel], name: str
) -> None:
    """Alone, in pairs and all together, bit for bit."""
    rows = examples[name].rows(60)
    alone = [_ask(served[name], [row])[0] for row in rows]
    pairs = [answer for start in range(0, 60, 2) for answer in _ask(served[name], rows[start : start + 2])]
    assert alone == pairs == _ask(served[name], rows)


WATCHED = """
import json, sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event == "pickle.find_class" else None)
import asyncio
from pathlib import Path
from serving.model.served import load_model
from core.train.trust import trusted_types
for name, folder, manifest, body in json.loads(sys.stdin.read()):
    model = load_model(Path(folder), manifest, trusted_types(), name=name, version=1)
    rows = model.reader.read(body.encode())
    assert len(asyncio.run(model.answer(rows.values))) == 2
    print(name, [m for m in ("pandas", "sklearn", "mlflow", "skops", "joblib") if m in sys.modules], events)
"""


def test_nothing_is_unpickled(examples: dict[str, Example]) -> None:
    """To load and to ask models calls no unpickler; with a graph neither pandas nor scikit-learn is imported."""
    told = [
        [name, examples[name].state.folder, examples[name].state.manifest, json.dumps({"rows": examples[name].rows(2)})]
        for name in ("credit", "price", "grade")
    ]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], input=json.dumps(told), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert (first, second) == ("credit [] []", "price [] []")
    assert "'sklearn'" in third
    assert "mlflow" not in third
    assert third.endswith(" []")
