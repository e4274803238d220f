"""Columns of numbers: separators, signs, units, exponents, markers of no value, sentinels, and counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from benchmarks.inference_collection import File, decimals, grouped, kept, numbers, picks, with_holes
from benchmarks.inference_truth import meaning

MARKERS = (
    *(
        "NA",
        "N/A",
        "n/a",
        "n.a.",
        "NULL",
        "null",
        "None",
        "nan",
        "NaN",
        "-",
        "--",
        ".",
        "?",
        "#N/A",
        "#DIV/0!",
        "(null)",
    ),
    *("\\N", "<NA>", "k.A.", "unbekannt", "not available", "..", "*", "missing", " ", "TBD"),
)
"""Texts that mean no value in a column of numbers."""

CLEAR_MARKERS = ("NA", "N/A", "n/a", "NULL", "null", "nan", "NaN", "#N/A", "(null)", "\\N", "<NA>")
"""Those that mean no value in a column of texts too; the others may be answers."""


@dataclass(frozen=True)
class Notation:
    """How a file writes numbers."""

    name: str
    decimal: str = "."
    thousands: str = ""
    delimiter: str = ","
    before: str = ""
    behind: str = ""
    indian: bool = False

    def __call__(self, value: Decimal) -> str:
        """Write a number without a currency."""
        return grouped(value, self.decimal, self.thousands, indian=self.indian)


NOTATIONS = (
    Notation("plain", before="$"),
    Notation("us_thousands", thousands=",", before="$"),
    Notation("us_semicolon", thousands=",", before="US$ ", delimiter=";"),
    Notation("decimal_comma", ",", delimiter=";", behind=" €"),
    Notation("german", ",", ".", ";", behind=" €"),
    Notation("german_tabs", ",", ".", "\t", before="EUR "),
    Notation("austrian_pipes", ",", ".", "|", before="€ "),
    Notation("swiss", ".", "'", ";", before="CHF "),
    Notation("swiss_typographic", ".", "\u2019", ",", before="Fr. "),
    Notation("french_narrow_space", ",", "\u202f", ";", behind="\u202f€"),
    Notation("french_no_break_space", ",", "\u00a0", ";", behind="\u00a0€"),
    Notation("swedish_space", ",", " ", ";", behind=" kr"),
    Notation("indian", ".", ",", ",", before="₹", indian=True),
    Notation("british_tabs", ".", ",", "\t", before="£"),
)


def files() -> Iterator[File]:
    """Return the files."""
    for notation in NOTATIONS:
        yield _amounts(notation)
    yield from (_signs(), _exponents(), _units(), _mixed_notations(), _ambiguous_thousands(), _few_values())
    yield from (_target("target_comma", ","), _target("target_thousands", ".", ","))
    for place, marker in enumerate(MARKERS):
        yield _markers(place, marker)
    yield from (_dash_beside_level(), _sentinels(), _sentinels_of_amounts(), _counters(), _ordinary())


def _amounts(notation: Notation) -> File:
    """Write amounts of several sizes, with a currency, in percent, negative and with holes."""
    file = File(f"amounts_{notation.name}", f"numbers: {notation.name.replace('_', ' ')}", delimiter=notation.delimiter)
    for name, low, high, digits in (("weight", 0.5, 95, 2), ("income", 900, 9_000_000, 2), ("population", 500, 9e7, 0)):
        values = decimals(file.rng, file.n_rows, low, high, digits)
        file.add(name, map(notation, values), numbers(values))
    values = decimals(file.rng, file.n_rows, -50_000, 90_000)
    file.add("balance", map(notation, values), numbers(values))
    values = decimals(file.rng, file.n_rows, 0.1, 99, 1)
    hundredths = numbers([value / 100 for value in values])
    file.add("share", [f"{notation(value)}%" for value in values], numbers(values), hundredths)
    values = decimals(file.rng, file.n_rows, 1, 20_000)
    file.add("price", [f"{notation.before}{notation(value)}{notation.behind}" for value in values], numbers(values))
    values = decimals(file.rng, file.n_rows, 1000, 90_000, 3)
    cells, there = with_holes(file.rng, list(map(notation, values)), "")
    file.add("volume", cells, meaning("number", kept(list(map(float, values)), there)))
    return file


def _signs() -> File:
    """Write negative numbers in the ways of accountants, and signs before and behind."""
    file = File("signs", "numbers: signs", delimiter=";")
    forms: dict[str, Callable[[Decimal], str]] = {
        "accounting": lambda value: f"({abs(value)})" if value < 0 else str(value),
        "accounting_thousands": lambda value: f"({abs(value):,})" if value < 0 else f"{value:,}",
        "accounting_dollar": lambda value: f"$({abs(value)})" if value < 0 else f"${value}",
        "sign_behind": lambda value: f"{abs(value)}-" if value < 0 else str(value),
        "true_minus": lambda value: str(value).replace("-", "\u2212"),
        "plus": lambda value: f"{value:+}",
        "spaced_minus": lambda value: f"- {abs(value)}" if value < 0 else str(value),
        "percent_space": lambda value: f"{value} %",
        "debit_credit": lambda value: f"{abs(value)} {'DR' if value < 0 else 'CR'}",
        "dash": lambda value: str(value).replace("-", "\u2013"),
        "full_width": lambda value: str(value).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)}),
        "red_text": lambda value: f"-${abs(value)}" if value < 0 else f"${value}",
    }
    for name, form in forms.items():
        values = decimals(file.rng, file.n_rows, -900, 4000)
        options = [numbers(values)] + ([numbers([value / 100 for value in values])] if "percent" in name else [])
        file.add(name, map(form, values), *options)
    return file


def _exponents() -> File:
    """Write exponents, missing digits before or behind the point, hexadecimal and long numbers."""
    file = File("exponents", "numbers: exponents and digits")
    values = [Decimal(f"{value:.3e}") for value in np.exp(file.rng.uniform(-20, 20, file.n_rows))]
    file.add("concentration", [f"{value:.3e}" for value in values], numbers(values))
    file.add("rate", [f"{value:.3E}" for value in values], numbers(values))
    values = decimals(file.rng, file.n_rows, 0, 1, 3)
    file.add("no_zero", [str(value).removeprefix("0") for value in values], numbers(values))
    values = decimals(file.rng, file.n_rows, 3, 900, 0)
    file.add("bare_point", [f"{value}." for value in values], numbers(values))
    values = [Decimal(int(draw)) for draw in file.rng.integers(0, 65536, file.n_rows)]
    texts = [f"0x{int(value):04X}" for value in values]
    file.add("register", texts, meaning("text", texts), numbers(values))
    values = [Decimal(f"{draw:.17g}") for draw in file.rng.normal(0, 1, file.n_rows)]
    file.add("exact", map(str, values), numbers(values))
    values = [Decimal(int(draw)) * 10 for draw in file.rng.integers(10**11, 10**13, file.n_rows)]
    file.add("revenue_cents", map(str, values), numbers(values))
    values = decimals(file.rng, file.n_rows, 47, 49, 6)
    file.add("latitude", map(str, values), numbers(values))
    return file


def _units() -> File:
    """Write numbers with units, fractions and ordinals, which are texts to most readers."""
    file = File("units", "numbers: units")
    values = decimals(file.rng, file.n_rows, 1, 400, 1)
    for name, unit in (("mass", " kg"), ("length", "cm"), ("temperature", "°C"), ("power", " kW"), ("time", " min")):
        file.add(name, [f"{value}{unit}" for value in values], numbers(values))
    units = picks(file.rng, file.n_rows, ["kg", "g", "t"])
    file.add("mixed_mass", [f"{value} {unit}" for value, unit in zip(values, units, strict=True)])
    units = picks(file.rng, file.n_rows, ["K", "M", "B"])
    sizes = {"K": 10**3, "M": 10**6, "B": 10**9}
    file.add(
        "market_value",
        [f"{value}{unit}" for value, unit in zip(values, units, strict=True)],
        numbers([value * sizes[unit] for value, unit in zip(values, units, strict=True)]),
    )
    signs = picks(file.rng, file.n_rows, ["$", "€", "£"])
    file.add("mixed_price", [f"{sign}{value}" for sign, value in zip(signs, values, strict=True)])
    places = [int(draw) for draw in file.rng.integers(1, 200, file.n_rows)]
    file.add("rank", [f"{place}{_ordinal(place)}" for place in places], meaning("number", [float(p) for p in places]))
    file.add("below_limit", [f"<{value}" if value < 20 else str(value) for value in values])
    file.add("approximate", [f"~{value}" for value in values], numbers(values))
    return file


def _ordinal(place: int) -> str:
    return "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")


def _mixed_notations() -> File:
    """Write columns of different notations into one file, and columns that fit two notations."""
    file = File("mixed_notations", "numbers: several notations in one file", delimiter=";")
    german, english = Notation("", ",", "."), Notation("", ".", ",")
    for name, notation in (("umsatz", german), ("revenue", english)):
        values = decimals(file.rng, file.n_rows, 1000, 900_000)
        file.add(name, map(notation, values), numbers(values))
    values = decimals(file.rng, file.n_rows, 0.1, 9, 3)
    file.add("dose", map(str, values), numbers(values))
    # Beside 1.234,50 in the same file, 21.042 is 21042; by itself it may be either, so leaving it out is right too.
    values = decimals(file.rng, file.n_rows, 1000, 99_000, 0)
    file.add("einwohner", map(german, values), numbers(values), meaning("text", [german(v) for v in values], "ignored"))
    both = [german(v) if place % 2 else english(v) for place, v in enumerate(decimals(file.rng, file.n_rows, 1e4, 1e6))]
    file.add("both", both, meaning("text", both, "ignored"))
    return file


def _ambiguous_thousands() -> File:
    """Write three digits behind a point, in a file that does not decide what the point is: only a question is right."""
    file = File("ambiguous_thousands", "numbers: ambiguous", delimiter=";")
    for name in ("einwohner", "flaeche"):
        values = decimals(file.rng, file.n_rows, 1000, 99_000, 0)
        file.add(name, [grouped(value, ",", ".") for value in values], meaning("number", (), "none"))
    values = [Decimal(int(quarters)) / 4 for quarters in file.rng.integers(4, 200, file.n_rows)]
    file.add("gewicht", [f"{value:.3f}" for value in values], meaning("number", (), "none"))
    return file


def _few_values() -> File:
    """Write few distinct numbers with a decimal comma, which could be levels."""
    file = File("few_values", "numbers: decimal comma", delimiter=";")
    for name, levels in (("rate", ["0,5", "1,0", "1,5", "2,0"]), ("grade", ["1,3", "1,7", "2,0", "2,3", "3,7"])):
        cells = picks(file.rng, file.n_rows, levels)
        values = [float(cell.replace(",", ".")) for cell in cells]
        file.add(name, cells, meaning("number", values, "numeric categorical"), meaning("text", cells))
    return file


def _target(name: str, decimal: str, thousands: str = "") -> File:
    """Write the target of a regression in another notation."""
    file = File(name, "numbers: target", delimiter=";", target="amount")
    values = decimals(file.rng, file.n_rows, 1000, 80_000)
    file.add("amount", [grouped(value, decimal, thousands) for value in values], numbers(values))
    values = decimals(file.rng, file.n_rows, 1, 80, 0)
    file.add("age", map(str, values), numbers(values))
    return file


def _markers(place: int, marker: str) -> File:
    """Write one marker of no value into numbers, whole numbers and, where it is clear, texts."""
    file = File(f"marker_{place}", f"missing: {'blank' if marker == ' ' else marker}")
    for name, low, high, digits in (("measure", 1, 90, 2), ("count", 1, 2000, 0)):
        values = decimals(file.rng, file.n_rows, low, high, digits)
        cells, there = with_holes(file.rng, list(map(str, values)), marker)
        file.add(name, cells, meaning("number", kept(list(map(float, values)), there)))
    levels = picks(file.rng, file.n_rows, ["red", "green", "blue", "dark red"])
    cells, there = with_holes(file.rng, levels, marker)
    absent = meaning("text", kept(levels, there))
    clear = marker in CLEAR_MARKERS or not marker.strip()
    file.add("colour", cells, absent, *([] if clear else [meaning("text", cells)]))
    return file


def _dash_beside_level() -> File:
    """Write a marker of numbers that is a level of another column in the same file."""
    file = File("marker_and_level", "missing: marker and level in one file")
    values = decimals(file.rng, file.n_rows, 1, 90)
    for name, marker in (("amount", "-"), ("score", "none"), ("length", "unknown"), ("width", "0/0")):
        cells, there = with_holes(file.rng, list(map(str, values)), marker)
        file.add(name, cells, meaning("number", kept(list(map(float, values)), there)))
    for name, levels in (
        ("sign", ["+", "-", "0"]),
        ("garage", ["none", "attached", "detached"]),
        ("outcome_before", ["unknown", "success", "failure"]),
        ("result", ["0/0", "0/1", "1/1"]),
    ):
        file.add(name, picks(file.rng, file.n_rows, levels))
    return file


def _sentinels() -> File:
    """Write numbers that mean no value."""
    file = File("sentinels", "sentinels")
    for name, low, high, digits, sentinel in (
        ("carbon", 0.1, 11, 1, "-200"),
        ("humidity", 5, 95, 1, "-999"),
        ("age", 18, 90, 0, "999"),
        ("visits", 0, 40, 0, "-1"),
        ("months", 1, 60, 0, "9999"),
        ("height", 150, 200, 1, "-9999.0"),
        ("dose", 0.5, 9, 2, "99.99"),
        ("depth", 1, 300, 2, "-999.25"),
        ("score", 300, 850, 0, "0"),
        ("level", 1, 7, 0, "99"),
        ("counter_max", 1, 1000, 0, "2147483647"),
        ("elevation", 2, 900, 1, "-32768"),
    ):
        values = decimals(file.rng, file.n_rows, low, high, digits)
        cells, there = with_holes(file.rng, list(map(str, values)), sentinel)
        file.add(name, cells, meaning("number", kept(list(map(float, values)), there)))
    return file


def _sentinels_of_amounts() -> File:
    """Write several sentinels in one column, and extreme values that are none."""
    file = File("sentinels_several", "sentinels")
    values = decimals(file.rng, file.n_rows, 1, 80, 0)
    cells, there = with_holes(file.rng, list(map(str, values)), "-8")
    cells = [
        "-9" if not one and place % 2 else cell for place, (cell, one) in enumerate(zip(cells, there, strict=True))
    ]
    file.add("survey", cells, meaning("number", kept(list(map(float, values)), there)))
    cells, there = with_holes(file.rng, list(map(str, values)), "997")
    cells = [
        "998" if not one and place % 2 else cell for place, (cell, one) in enumerate(zip(cells, there, strict=True))
    ]
    file.add("interview", cells, meaning("number", kept(list(map(float, values)), there)))
    values = decimals(file.rng, file.n_rows, 10, 500_000)
    file.add("tail", map(str, values), numbers(values))
    return file


def _counters() -> File:
    """Write what only counts rows or time, and what is in order for another reason."""
    file = File("counters", "counters")
    rng, n = file.rng, file.n_rows
    series: dict[str, np.ndarray] = {
        "row": np.arange(1, n + 1),
        "TX_TIME_SECONDS": np.cumsum(rng.integers(1, 400, n)),
        "record_id": np.arange(n) * 3 + 1_000_000,
        "elapsed_hours": np.cumsum(rng.uniform(0, 2, n)).round(2),
        "step": np.repeat(np.arange(n // 4), 4),
        "seq_down": np.arange(n, 0, -1) * 10,
    }
    for name, values in series.items():
        cells = [f"{value:g}" if isinstance(value, float) else str(value) for value in values.tolist()]
        file.add(
            name,
            cells,
            meaning("number", [float(cell) for cell in cells], "ignored"),
            meaning("text", cells, "ignored"),
        )
    return file


def _ordinary() -> File:
    """Write what has no trap: it has to stay what it is, without a remark that it is something else."""
    file = File("ordinary", "ordinary")
    for name, low, high, digits in (
        ("age", 18, 95, 0),
        ("temperature", -15, 38, 1),
        ("income", 900, 200_000, 0),
        ("score", 0, 1, 4),
        ("distance", 0.01, 9000, 2),
        ("rooms", 1, 9, 0),
        ("year_built", 1890, 2024, 0),
        ("longitude", -9, 9, 5),
    ):
        values = decimals(file.rng, file.n_rows, low, high, digits)
        file.add(name, map(str, values), numbers(values, "numeric categorical" if name == "rooms" else ""))
    for name, levels in (("city", ["Oslo", "Bergen", "Stavanger"]), ("class", ["A", "B", "C", "D"])):
        file.add(name, picks(file.rng, file.n_rows, levels))
    return file
