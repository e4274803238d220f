"""The public data sets as they are published, and what their descriptions say of their columns.

Bank Marketing, Bike Sharing, Default of Credit Card Clients and Online Shoppers of the UCI repository. The project does
not contain the files.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.inference_truth import Column, Meaning, Table, meaning

Say = Callable[[Sequence[str]], tuple[Meaning, ...]]

EITHER = "numeric categorical"
"""Whole numbers that are codes or ranks: trees can split them, so both kinds are right."""

SHOPPERS = (
    *("Administrative", "Administrative_Duration", "Informational", "Informational_Duration", "ProductRelated"),
    *("ProductRelated_Duration", "BounceRates", "ExitRates", "PageValues", "SpecialDay", "Month", "OperatingSystems"),
    *("Browser", "Region", "TrafficType", "VisitorType", "Weekend", "Revenue"),
)


def public_tables(data: Path, folder: Path) -> list[Table]:
    """Return the tables of the data sets that are under ``data``.

    Parameters
    ----------
    data
        Folder with one folder per data set.
    folder
        Folder for files that are unpacked, or written with their names.
    """
    found = []
    if (archive := data / "bank_marketing" / "bank-additional.zip").is_file():
        with zipfile.ZipFile(archive) as packed:
            path = folder / "bank.csv"
            path.write_bytes(packed.read("bank-additional/bank-additional-full.csv"))
        found.append(_table(path, ";", "y", _bank()))
    if (path := data / "bike_sharing" / "hour.csv").is_file():
        found.append(_table(path, ",", "cnt", _bike()))
    if (path := data / "default_credit_card_tw" / "UCI_Credit_Card.csv").is_file():
        found.append(_table(path, ",", "Y", _credit()))
    if (path := data / "online_shoppers" / "online_shoppers_intention.csv").is_file():
        found.append(_table(path, ",", "Revenue", _shoppers(), SHOPPERS))
        named = folder / "shoppers_named.csv"
        named.write_text(",".join(SHOPPERS) + "\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
        found.append(_table(named, ",", "Revenue", _shoppers()))
    return found


def _table(path: Path, delimiter: str, target: str, says: dict[str, Say], names: Sequence[str] = ()) -> Table:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter=delimiter))
    names = names or rows.pop(0)
    columns = (
        Column(name, f"public data: {path.stem}", cells, says[name](cells))
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    )
    return Table(path, target, tuple(columns), delimiter)


def _number(kinds: str = "", none: str | None = None) -> Say:
    return lambda cells: (meaning("number", [None if cell == none else float(cell) for cell in cells], kinds),)


def _code(cells: Sequence[str]) -> tuple[Meaning, ...]:
    return (meaning("number", map(float, cells), EITHER), meaning("text", cells))


def _text(cells: Sequence[str]) -> tuple[Meaning, ...]:
    return (meaning("text", cells),)


def _unknown(cells: Sequence[str]) -> tuple[Meaning, ...]:
    """``unknown`` is a level or no value: the description leaves it open."""
    return (meaning("text", cells), meaning("text", [None if cell == "unknown" else cell for cell in cells]))


def _words(true: str) -> Say:
    return lambda cells: (meaning("boolean", [cell == true for cell in cells]),)


def _either(true: str) -> Say:
    return lambda cells: (meaning("boolean", [cell == true for cell in cells], f"boolean {EITHER}"),)


def _part_of_target(cells: Sequence[str]) -> tuple[Meaning, ...]:
    """``casual`` and ``registered`` add up to the target: numbers that a model must not have."""
    return (meaning("text", cells, "ignored"), meaning("number", map(float, cells), "ignored"))


def _counter(cells: Sequence[str]) -> tuple[Meaning, ...]:
    return (meaning("text", cells, "ignored"), meaning("number", map(float, cells), "ignored"))


def _day(cells: Sequence[str]) -> tuple[Meaning, ...]:
    return (meaning("date", [datetime.strptime(cell, "%Y-%m-%d") for cell in cells]),)


def _bank() -> dict[str, Say]:
    texts = ("contact", "month", "day_of_week", "poutcome")
    unknown = ("job", "marital", "education", "default", "housing", "loan")
    numbers = ("age", "duration", "campaign", "previous", "emp.var.rate", "cons.price.idx", "cons.conf.idx")
    return {
        **dict.fromkeys(texts, _text),
        **dict.fromkeys(unknown, _unknown),
        **dict.fromkeys((*numbers, "euribor3m", "nr.employed"), _number()),
        "pdays": _number(none="999"),  # "999 means client was not previously contacted"
        "y": _words("yes"),
    }


def _bike() -> dict[str, Say]:
    return {
        "instant": _counter,
        "dteday": _day,
        **dict.fromkeys(("season", "mnth", "hr", "weekday", "weathersit"), _code),
        **dict.fromkeys(("yr", "holiday", "workingday"), _either("1")),
        **dict.fromkeys(("temp", "atemp", "hum", "windspeed", "cnt"), _number()),
        **dict.fromkeys(("casual", "registered"), _part_of_target),
    }


def _credit() -> dict[str, Say]:
    return {
        "ID": _counter,
        **dict.fromkeys(("X2", "Y"), _either("1")),
        **dict.fromkeys(("X3", "X4", *(f"X{place}" for place in range(6, 12))), _code),
        **dict.fromkeys(("X1", "X5", *(f"X{place}" for place in range(12, 24))), _number()),
    }


def _shoppers() -> dict[str, Say]:
    counts = ("Administrative", "Informational", "ProductRelated")
    rates = ("BounceRates", "ExitRates", "PageValues", "SpecialDay")
    return {
        **dict.fromkeys((*counts, *(f"{name}_Duration" for name in counts), *rates), _number()),
        **dict.fromkeys(("OperatingSystems", "Browser", "Region", "TrafficType"), _code),
        **dict.fromkeys(("Month", "VisitorType"), _text),
        **dict.fromkeys(("Weekend", "Revenue"), _words("TRUE")),
    }
