"""Pages for people: everything derived from facts, nothing from data unescaped."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.feature_contract import FeatureContract
from core.metrics.evaluation import evaluate
from core.references import Lineage
from core.train.card import CardFacts, ColumnFacts, DataFacts
from core.train.portfolio import Choice, Tried
from tasks.reports.card import Card, render_card
from tasks.reports.gate import BEGIN, END, with_verdict, with_verdict_md
from tests.factories import credit_config
from tests.tasks.verdicts import promoted

HOSTILE = "</script><img src=x onerror=alert(1)> `$x$` | {{7*7}}"


def _frame(n: int = 600, region: str = "north") -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "income": rng.normal(size=n),
            "age": rng.integers(18, 80, n).astype(float),
            "region": rng.choice([region, "south", "west"], n),
            "owner": pd.array(rng.random(n) < 0.5, dtype="boolean"),
        }
    )


def _facts(region: str = "north", **changes: Any) -> CardFacts:
    config = credit_config(evaluation={"slices": ["region"], "resamples": 50}, **changes)
    contract = FeatureContract.of(config, ["0", "1"])
    frame = _frame(region=region)
    probability = 1 / (1 + np.exp(-frame["income"].to_numpy()))
    y = (np.random.default_rng(4).random(len(frame)) < probability).astype("int64")
    evaluation = evaluate(y, np.column_stack([1 - probability, probability]), frame, contract, config)
    return CardFacts(
        config=config,
        lineage=Lineage("k" * 64, "d" * 32 + ".dir", "c" * 64, "e" * 64, "f" * 64, "a" * 40, True, "outs:", "manual"),
        data=DataFacts(
            n_rows=3_000,
            n_train=2_400,
            n_holdout=len(frame),
            n_unlabelled=5,
            n_superseded=0,
            n_duplicates_removed=1,
            rule="20% of the rows by a hash of their identity",
            first="2024-01-01",
            last="2024-12-31",
            target={"0": 2000, "1": 1000},
            columns=[ColumnFacts("income", "numeric", 0.4, 0.1), ColumnFacts(region, "categorical", 0.0, None)],
        ),
        evaluation=evaluation,
        params={"max_iter": 100},
        cv_scores={"roc_auc": [0.7, 0.72]},
        validation=["validated 3,000 rows: none set aside."],
        leakage=["No leakage was found."],
        onnx="kept",
    )


@pytest.fixture(scope="module")
def card() -> Card:
    """Return the card of a small model."""
    return render_card(_facts())


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_the_card_states_the_facts(card: Card, form: str) -> None:
    """Data version, rows, period, metrics with intervals, slices, calibration, limits and lineage are on it."""
    text = html.unescape(getattr(card, form))
    expected = ["d" * 32, "2,400", "2024-12-31", "roc_auc", "north", "expected calibration error", "a" * 40, "max_iter"]
    assert [fact for fact in expected if fact.lower() not in text.lower()] == []
    assert re.search(r"0\.\d{4} to 0\.\d{4}", text)
    assert "More than 30% of the training rows have no value in: income." in text


def test_the_page_is_self_contained(card: Card) -> None:
    """No address is loaded from anywhere; figures are inline."""
    assert card.html.count("<svg") == 3
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", card.html)
    assert "default-src 'none'" in card.html


def test_the_same_facts_give_the_same_bytes(card: Card) -> None:
    """A card can be compared: neither time nor chance is in it."""
    assert render_card(_facts()) == card


def test_names_and_values_from_data_cannot_become_markup() -> None:
    """A hostile level stays text in HTML, in SVG and in Markdown."""
    hostile = render_card(_facts(region=HOSTILE))
    assert "<img" not in hostile.html
    assert "</script>" not in hostile.html
    assert "&lt;img" in hostile.html
    assert "<img" not in hostile.markdown
    assert "49" not in re.findall(r"\{\{(.*?)\}\}", hostile.markdown)
    row = next(line for line in hostile.markdown.splitlines() if "onerror" in line and line.startswith("|"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_the_card_shows_the_candidates_and_the_choice(form: str) -> None:
    """Each with its score or with why it has none; a card of one configured estimator has no such section."""
    tried = (Tried("boosting", (0.7, 0.74), 2.0), Tried("linear", problem="it cannot be fitted"))
    choice = Choice("boosting", "the best mean roc_auc over 2 folds", "roc_auc", tried)
    text = html.unescape(getattr(render_card(replace(_facts(), choice=choice)), form))
    expected = ("Chosen: boosting", "0.7200", "it cannot be fitted", "best mean")
    assert [fact for fact in expected if fact not in text] == []
    assert "Candidates" not in getattr(render_card(_facts()), form)


@pytest.mark.parametrize(("form", "complete"), [("html", with_verdict), ("markdown", with_verdict_md)])
def test_the_card_leaves_a_place_for_the_verdict(card: Card, form: str, complete: Callable[..., str]) -> None:
    """Before anything that comes from rows; where the verdict stands, the promise of one does not."""
    text = getattr(card, form)
    assert (
        text.index(BEGIN)
        < text.index("after its registration")
        < text.index(END)
        < text.index("Metrics on the holdout")
    )
    completed = complete(text, promoted())
    assert "after its registration" not in completed
    assert promoted().reasons[0] in completed
    assert completed.split(END, 1)[1] == text.split(END, 1)[1]


def test_a_feature_named_like_the_marks_moves_nothing() -> None:
    """The marks of the gate section occur once, whatever the columns are called."""
    page = render_card(_facts(region="gate")).html
    assert (page.count(BEGIN), page.count(END)) == (1, 1)


def test_a_regression_card_has_its_own_figures() -> None:
    """Predicted against actual stands where discrimination stands for classes."""
    config = credit_config(
        task="regression",
        positive=None,
        training={"estimator": "sklearn.linear_model.Ridge"},
        gate={"metric": "rmse", "floor": 2.0},
    )
    contract = FeatureContract.of(config)
    y = _frame()["income"].to_numpy()
    evaluation = evaluate(y, y * 0.9, _frame(), contract, config)
    page = render_card(replace(_facts(), config=config, evaluation=evaluation)).html
    assert "Predicted and actual" in page
    assert "Reliability" not in page
