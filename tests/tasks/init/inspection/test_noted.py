"""The notation of a file's columns is found, written to the model file, and read by at ingestion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from config.settings import Settings
from core.errors import ConfigError, SchemaError
from core.init.choices import NO_ANSWERS, Answers
from tasks.init.inspection.noted import unread_with_digits
from tasks.init.model_file import InitResult, init_model
from tasks.source.stage import stage_rows
from tests.factories import make_project

N = 400
RNG = np.random.default_rng(12)
DAYS = pd.Timestamp("2022-01-05 10:30") + pd.to_timedelta(RNG.integers(0, 800, N), unit="D")
AMOUNTS = RNG.uniform(0, 50_000, N).round(2)
PEOPLE = RNG.integers(1000, 99_999, N)


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def german(number: float) -> str:
    """Write a number as in Germany."""
    return f"{number:,}".translate(str.maketrans(",.", ".,"))


def inferred(
    columns: dict[str, Any], settings: Settings, answers: Answers = NO_ANSWERS, target: str = "y", name: str = "rows"
) -> tuple[InitResult, dict[str, list[Any]]]:
    """Infer a model file from columns beside a target, and ingest by it."""
    path = settings.root / "rows.csv"
    pd.DataFrame({"y": RNG.integers(0, 2, N)} | columns).to_csv(path, index=False, sep=";")
    result = init_model(str(path), target, settings, name=name, answers=answers)
    return result, pq.read_table(stage_rows(result.config, settings, settings.var / "work").path).to_pydict()


def test_a_german_export_is_read_without_an_edit(project: Settings) -> None:
    """Marks for the whole file, a unit and formats by column; the values are those that were written."""
    columns = {
        "amount": [german(amount) for amount in AMOUNTS],
        "people": [german(int(number)) for number in PEOPLE],
        "share": [f"{german(share)} %" for share in (AMOUNTS / 1000).round(1)],
        "day": [f"{day:%d.%m.%Y}" for day in DAYS],
        "at": [f"{day:%d.%m.%Y %H:%M}" for day in DAYS],
        "whole": np.arange(N) % 50,
    }
    result, staged = inferred(columns, project)
    source = result.config.source
    assert (source.decimal, source.thousands, source.units) == (",", ".", {"share": "%"})
    assert source.dates == {"day": ("%d.%m.%Y",), "at": ("%d.%m.%Y %H:%M",)}
    assert staged["amount"] == AMOUNTS.tolist()
    assert staged["people"] == PEOPLE.tolist()
    assert staged["share"] == (AMOUNTS / 1000).round(1).tolist()
    assert staged["day"] == [day.to_pydatetime().replace(hour=0, minute=0) for day in DAYS]
    assert staged["at"] == [day.to_pydatetime() for day in DAYS]
    assert not [note for note in result.notes if note.startswith("look:") and "--time" not in note]


def test_a_target_in_a_notation_is_learnt_as_a_number(project: Settings) -> None:
    """Its values are what the file means, and grades stay classes."""
    columns = {"x": np.arange(N), "price": [german(amount) for amount in AMOUNTS]}
    result, staged = inferred(columns, project, target="price")
    assert result.config.task == "regression"
    assert staged["price"] == AMOUNTS.tolist()


def test_numbers_with_two_readings_are_left_out_until_the_user_says_which(project: Settings) -> None:
    """The question names both; with the answer the column is read."""
    columns = {"people": [german(int(number)) for number in PEOPLE], "x": np.arange(N) % 7}
    result, _ = inferred(columns, project)
    assert result.config.features.ignored == ("people",)
    assert any(note.startswith("ignored 'people': numbers with two readings") for note in result.notes)
    with pytest.raises(SchemaError, match="target 'people': expected numbers or classes, found numbers with two"):
        inferred(columns, project, target="people", name="other")
    for answers, factor in ((Answers(decimal=","), 1), (Answers(decimal="."), 1000)):
        _, staged = inferred(columns, project, answers, name=f"by{factor}")
        assert staged["people"] == (PEOPLE / factor).tolist()


def test_a_value_far_down_decides_the_order_of_day_and_month(project: Settings) -> None:
    """The sample may not hold it: all rows are asked."""
    days = [f"{1 + place % 12:02}/{1 + place % 11:02}/2024" for place in range(20_000)]
    frame = pd.DataFrame({"y": RNG.integers(0, 2, 20_000), "x": np.arange(20_000) % 7, "day": days})
    frame.to_csv(project.root / "rows.csv", index=False)
    asked = init_model(str(project.root / "rows.csv"), "y", project, name="asked")
    assert "say which by --day-first or --month-first" in asked.paths[0].read_text()
    said = init_model(str(project.root / "rows.csv"), "y", project, name="said", answers=Answers(day_first=False))
    assert said.config.source.dates == {"day": ("%m/%d/%Y",)}
    frame.loc[19_999, "day"] = "12/31/2024"
    frame.to_csv(project.root / "rows.csv", index=False)
    decided = init_model(str(project.root / "rows.csv"), "y", project, name="decided")
    assert decided.config.source.dates == {"day": ("%m/%d/%Y",)}


def test_times_since_1970_are_dates_if_their_name_says_so(project: Settings) -> None:
    """In seconds and milliseconds, with the time of the day."""
    seconds = [int((day - pd.Timestamp("1970-01-01")).total_seconds()) for day in DAYS]
    columns = {"created_at": seconds, "ts": [1000 * second for second in seconds], "amount": seconds}
    result, staged = inferred(columns, project)
    assert result.config.source.dates == {"created_at": ("seconds",), "ts": ("milliseconds",)}
    assert staged["created_at"] == staged["ts"] == [day.to_pydatetime() for day in DAYS]
    assert result.config.features.numeric == ("amount",)


def test_a_number_in_another_notation_is_never_a_missing_value(project: Settings) -> None:
    """The column stays text, with a remark that names both."""
    amounts = [german(amount) for amount in AMOUNTS]
    amounts[N // 2] = "1234.5"
    result, staged = inferred({"amount": amounts, "x": np.arange(N) % 7}, project)
    assert staged["amount"][N // 2] == "1234.5"
    assert any("'amount' has numbers in more than one notation" in note for note in result.notes)


def test_words_among_noted_values_mean_no_value(project: Settings) -> None:
    """As among usual numbers, with the reason."""
    amounts, days = [german(amount) for amount in AMOUNTS], [f"{day:%d.%m.%Y}" for day in DAYS]
    amounts[3] = days[4] = "k.A."
    result, staged = inferred({"amount": amounts, "day": days}, project)
    assert result.config.source.missing == ("", "k.A.")
    assert staged["amount"][3] is staged["day"][4] is None


def test_several_spellings_of_yes_and_no_are_boolean(project: Settings) -> None:
    """As a target they are refused: labels are compared as text."""
    words = [("true", "TRUE", "yes", "Yes", "no", "FALSE")[place % 6] for place in range(N)]
    result, staged = inferred({"churned": words, "x": np.arange(N) % 7}, project)
    assert result.config.features.boolean == ("churned",)
    assert staged["churned"] == [place % 6 < 4 for place in range(N)]
    with pytest.raises(SchemaError, match=r"means yes or no, but in 5 spellings .*write true and false"):
        inferred({"churned": words, "x": np.arange(N) % 7}, project, target="churned", name="other")


@pytest.mark.parametrize(
    ("values", "name", "remark"),
    [
        ([("Ja", "ja", "nein")[place % 3] for place in range(N)], "paid", "differ in case only, such as 'Ja' and 'ja'"),
        (
            [("ja", "nein", "Yes", "no")[place % 4] for place in range(N)],
            "paid",
            "4 spellings of yes and no",
        ),
        ([*range(N - 1), "1O5"], "size", "'1O5' means no value"),
        ([*[f"{day:%d.%m.%Y}" for day in DAYS[1:]], "30.02.2022"], "day", "but '30.02.2022' is none in that notation"),
        ([202_400 + 1 + place % 12 for place in range(N)], "month", "'month' may be months (202401)"),
        (
            [45_000 + place % 300 for place in range(N)],
            "due_date",
            "'due_date' may be Excel's days since 1899-12-30",
        ),
    ],
)
def test_what_only_the_user_can_know_is_remarked_on(
    values: list[Any], name: str, remark: str, project: Settings
) -> None:
    """The column is used as it is; the remark says what it may be."""
    result, _ = inferred({name: values, "x": np.arange(N) % 7}, project)
    assert any(remark in note for note in result.notes if note.startswith("look:"))


def test_an_encoding_can_be_said(project: Settings) -> None:
    """It must be one that a model file can name."""
    columns = {"city": [("Łódź", "Kraków")[place % 2] for place in range(N)], "x": np.arange(N) % 7}
    result, staged = inferred(columns, project, Answers(encoding="utf-8"))
    assert (result.config.source.kind, set(staged["city"])) == ("csv", {"Łódź", "Kraków"})
    with pytest.raises(ConfigError, match=r"--encoding: expected one of utf-8, .*found 'utf-7'"):
        inferred(columns, project, Answers(encoding="utf-7"), name="other")


def test_a_remark_shows_two_different_notations(project: Settings) -> None:
    """And underscores between digits make no number: 10_100 is a code."""
    columns = {"mixed": [("5 %", "$7", "3")[place % 3] for place in range(N)], "shelf": [f"10_{n}" for n in PEOPLE]}
    result, staged = inferred(columns | {"x": np.arange(N) % 7}, project)
    assert any("such as '5 %' and '$7'" in note for note in result.notes)
    assert staged["shelf"] == columns["shelf"]


def test_texts_with_digits_are_told_from_words() -> None:
    """Known markers of missing values are words, whatever they hold."""
    assert unread_with_digits([("k.A.", 3), ("0000-00-00", 2), ("3.7", 1)]) == "3.7"
    assert unread_with_digits([("k.A.", 3)]) == ""


def test_a_fraction_of_zero_does_not_make_a_point_a_separator_of_thousands(project: Settings) -> None:
    """12.000 kg beside 12.345 kg are no twelve and 12,345: the two readings stay open."""
    weights = [f"{quarters / 4:.3f}" for quarters in RNG.integers(4, 200, N)]
    result, _ = inferred({"kg": weights, "n": np.arange(N) % 17}, project)
    assert result.config.features.ignored == ("kg",)
    assert any("two readings" in note for note in result.notes)
