"""Columns of codes and identifiers, and of truth values."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.inference_collection import File, codes, kept, picks, with_holes
from benchmarks.inference_truth import Meaning, meaning

PAIRS = {
    "lower": ("true", "false"),
    "title": ("True", "False"),
    "upper": ("TRUE", "FALSE"),
    "yes": ("yes", "no"),
    "yes_title": ("Yes", "No"),
    "letter": ("Y", "N"),
    "t": ("t", "f"),
    "german": ("ja", "nein"),
    "german_letter": ("J", "N"),
    "german_word": ("wahr", "falsch"),
    "french": ("oui", "non"),
    "french_word": ("VRAI", "FAUX"),
    "spanish": ("sí", "no"),
    "digit": ("1", "0"),
    "float": ("1.0", "0.0"),
    "on": ("on", "off"),
    "sign": ("+", "-"),
    "two_codes": ("2", "1"),
}


def files() -> Iterator[File]:
    """Return the files."""
    yield from (
        _padded(),
        _long(),
        _identifiers(),
        _look_like_numbers(),
        _infinite(),
        _named_codes(),
        _whole_codes(),
        _batch_export(),
    )
    yield from (_truth(), _mixed_truth(), _truth_with_holes())
    yield from (
        _target("target_mixed", ["true", "TRUE", "yes", "Yes", "no", "FALSE"]),
        _target("target_padded", ["yes", " no", "no "]),
    )
    yield _target("target_codes", ["01", "02", "10"])


def _digits(rng: np.random.Generator, n: int, width: int) -> list[str]:
    return ["".join(map(str, rng.integers(0, 10, width))) for _ in range(n)]


def _padded() -> File:
    """Write codes of a fixed width with zeros at their beginning."""
    file = File("codes_padded", "codes: leading zeros")
    rng, n = file.rng, file.n_rows
    places = [code for code in _digits(rng, 30, 5) if code[0] in "0123456"]
    file.add("zip", picks(rng, n, [*places, "02134", "00501"]))
    file.add("fips", picks(rng, n, ["01001", "06037", "36061", "48201"]))
    file.add("fips_state", picks(rng, n, ["01", "06", "36", "48"]))
    file.add("gtin", ["0" + code for code in _digits(rng, n, 12)])
    file.add("phone", ["0" + code for code in _digits(rng, n, 9)])
    file.add("month", picks(rng, n, [f"{month:02}" for month in range(1, 13)]))
    cells = picks(rng, n, ["250.00", "401.9", "V58.61", "008.45"])
    file.add("icd", cells, *codes(cells))
    file.add("agency", picks(rng, n, ["007", "7", "12", "012"]))
    file.add("zip_plus", ["0" + code[:4] + "-" + code[4:] for code in _digits(rng, n, 8)])
    cells, there = with_holes(rng, picks(rng, n, ["01067", "80331", "20095", "99084"]), "")
    file.add("plz", cells, meaning("text", kept(list(cells), there)))
    return file


def _long() -> File:
    """Write identifiers of more digits than a double holds."""
    file = File("codes_long", "codes: long")
    rng, n = file.rng, file.n_rows
    base = 2**53
    file.add("account", [str(base + int(step)) for step in rng.integers(1, 10**6, n)])
    file.add("account_repeated", picks(rng, n, [str(base + 1), str(base + 2), str(base + 3), "1234567890123456789"]))
    file.add("tweet", [str(1_500_000_000_000_000_000 + int(step)) for step in rng.integers(0, 10**15, n)])
    file.add("unsigned", picks(rng, n, [str(2**64 - 1 - place) for place in range(20)]))
    file.add("iban_digits", ["4" + code for code in _digits(rng, n, 21)])
    file.add("card", ["4" + code for code in _digits(rng, n, 15)])
    file.add("imei", ["35" + code for code in _digits(rng, n, 13)])
    cells, there = with_holes(rng, [str(base + 2 * int(step) + 1) for step in rng.integers(1, 10**6, n)], "NULL")
    file.add("parent", cells, meaning("text", kept(list(cells), there)))
    file.add("spaced_card", [" ".join(code[i : i + 4] for i in range(0, 16, 4)) for code in _digits(rng, n, 16)])
    file.add("ssn", [f"{code[:3]}-{code[3:5]}-{code[5:]}" for code in _digits(rng, n, 9)])
    return file


def _identifiers() -> File:
    """Write identifiers of other forms."""
    file = File("identifiers", "codes: identifiers")
    rng, n = file.rng, file.n_rows
    file.add("uuid", [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(n)])
    file.add("hash", [rng.bytes(8).hex() for _ in range(n)])
    file.add("ip", [".".join(map(str, part)) for part in rng.integers(0, 256, (n, 4))])
    file.add("mac", [":".join(f"{part:02x}" for part in row) for row in rng.integers(0, 256, (n, 6))])
    file.add("email", [f"user{number}@example.org" for number in rng.integers(0, 10**6, n)])
    file.add("url", [f"https://example.org/item/{number}?x=1,2" for number in rng.integers(0, 10**6, n)])
    file.add("phone", [f"+49 89 {number}" for number in rng.integers(10**5, 10**6, n)])
    file.add("iban", [f"DE{code[:2]} {code[2:6]} {code[6:10]}" for code in _digits(rng, n, 10)])
    file.add("isbn", [f"{code[:9]}{'X' if code[9] == '0' else code[9]}" for code in _digits(rng, n, 10)])
    file.add("plate", [f"M-AB {number}" for number in rng.integers(1, 10**4, n)])
    ids = [str(number) for number in rng.permutation(np.arange(100_000, 900_000, 7))[:n]]
    file.add("customer_id", ids)
    return file


def _look_like_numbers() -> File:
    """Write texts that a reader may take for numbers."""
    file = File("codes_like_numbers", "codes: like numbers")
    rng, n = file.rng, file.n_rows
    file.add("catalogue", picks(rng, n, ["1E5", "12E3", "7E10", "3A4", "9E2"]))
    file.add("flight_code", picks(rng, n, ["1E05", "2E05", "3E10", "4E10"]))
    file.add("country", picks(rng, n, ["DE", "FR", "NO", "IT", "NA"]))
    file.add("surname", picks(rng, n, ["Miller", "Smith", "True", "Inf", "Nun", "June"]))
    file.add("symbol", picks(rng, n, ["INF", "NOVA", "TRUE", "ON"]))
    file.add("gene", picks(rng, n, ["SEPT2", "MARCH1", "DEC1", "TP53"]))
    file.add("hex", [f"{number:06x}" for number in rng.integers(0, 2**24, n)])
    file.add("amount_text", picks(rng, n, ["one", "two", "three"]))
    file.add("grade", picks(rng, n, ["1", "2", "3", "3+", "4-"]))
    file.add("suffix", picks(rng, n, ["1d", "2f", "3L", "10d"]))
    file.add("underscore", picks(rng, n, ["1_000", "2_000", "3_500"]))
    return file


def _named_codes() -> File:
    """Write codes of whole numbers without zeros in front, which only their names or their widths tell."""
    file = File("codes_named", "codes: whole numbers")
    rng, n = file.rng, file.n_rows
    for name, low, high in (
        ("us_phone", 2_012_000_000, 9_899_999_999),
        ("student_number", 1_000_000, 9_999_999),
        ("ean", 4_000_000_000_000, 4_999_999_999_999),
        ("order_no", 20_000_000, 80_000_000),
    ):
        file.add(name, map(str, rng.integers(low, high, n)))
    for name, levels in (
        ("zip", ["10115", "20095", "80331", "60311"]),
        ("branch_code", ["7", "12", "31", "44"]),
        ("SIC", ["2011", "2834", "7372", "6020"]),
    ):
        file.add(name, picks(rng, n, levels))
    file.add("flags", [f"{flags:04b}" for flags in rng.integers(0, 16, n)])
    return file


def _infinite() -> File:
    """Write hexadecimal codes that a double takes for numbers, also for infinite ones."""
    file = File("codes_exponents", "codes: like numbers")
    rng, n = file.rng, file.n_rows
    file.add("hex_e", [f"{a}e{b}" for a, b in zip(rng.integers(1, 99, n), rng.integers(1, 999, n), strict=True)])
    return file


def _whole_codes() -> File:
    """Write codes without zeros: whole numbers that are names, ranks or counts."""
    file = File("codes_whole", "codes: whole numbers")
    rng, n = file.rng, file.n_rows
    for name, levels in (
        ("status", ["200", "301", "404", "500"]),
        ("naics", ["11", "21", "236", "3113", "541"]),
        ("country_code", ["276", "250", "578", "380", "840"]),
        ("diagnosis", ["250", "401", "428", "786"]),
    ):
        file.add(name, picks(rng, n, levels))
    for name, levels in (
        ("region", ["1", "2", "3", "4", "5"]),
        ("education", ["0", "1", "2", "3"]),
        ("likert", ["1", "2", "3", "4", "5", "6", "7"]),
        ("stars", ["1.0", "2.0", "3.0", "4.0", "5.0"]),
        ("term", ["36", "60"]),
        ("quarter", ["1", "2", "3", "4"]),
        ("weekday", ["0", "1", "2", "3", "4", "5", "6"]),
    ):
        cells = picks(rng, n, levels)
        either = meaning("number", list(map(float, cells)), "numeric categorical")
        file.add(name, cells, either, meaning("text", [str(int(float(cell))) for cell in cells], "categorical numeric"))
    return file


def _batch_export() -> File:
    """Write whole numbers as tools do once a cell is empty: with a fraction of zero."""
    file = File("codes_as_floats", "codes: whole numbers")
    rng, n = file.rng, file.n_rows
    for name, levels in (("status", ["200.0", "301.0", "404.0"]), ("shop", ["10442.0", "20991.0", "73101.0"])):
        cells, there = with_holes(rng, picks(rng, n, levels), "")
        values = [cell[:-2] if one else None for cell, one in zip(cells, there, strict=True)]
        file.add(name, cells, meaning("text", values))
    counts = rng.integers(0, 60, n).tolist()
    cells, there = with_holes(rng, [f"{count}.0" for count in counts], "")
    file.add("count", cells, meaning("number", kept(list(map(float, counts)), there)))
    return file


def _two(rng: np.random.Generator, n: int) -> list[bool]:
    return [bool(draw) for draw in rng.random(n) < 0.35]


def _is(values: Sequence[bool | None]) -> Meaning:
    return meaning("boolean", values)


def _truth() -> File:
    """Write truth values as pairs of words."""
    file = File("truth", "truth values")
    for name, (true, false) in PAIRS.items():
        values = _two(file.rng, file.n_rows)
        kinds = "boolean categorical numeric" if true == "2" else ""
        file.add(f"is_{name}", [true if value else false for value in values], meaning("boolean", values, kinds))
    return file


def _mixed_truth() -> File:
    """Write truth values as several words for each."""
    file = File("truth_mixed", "truth values: mixed")
    for name, trues, falses in (
        ("case", ["true", "TRUE", "True"], ["false", "FALSE", "False"]),
        ("words", ["true", "TRUE", "yes", "Yes"], ["no", "FALSE"]),
        ("letters", ["Y", "y", "yes"], ["N", "n", "no"]),
        ("digits", ["1", "true"], ["0", "false"]),
        ("padded", ["yes", "yes "], ["no", " no"]),
        ("german", ["ja", "Ja", "JA"], ["nein", "Nein"]),
    ):
        values = _two(file.rng, file.n_rows)
        some = file.rng.integers(0, 100, file.n_rows)
        cells = [
            (trues if value else falses)[place % len(trues if value else falses)]
            for value, place in zip(values, some, strict=True)
        ]
        file.add(name, cells, _is(values))
    return file


def _truth_with_holes() -> File:
    """Write truth values with cells without one, and flags that are set or empty."""
    file = File("truth_holes", "truth values: missing")
    for name, (true, false, marker) in {
        "smoker": ("yes", "no", ""),
        "insured": ("True", "False", "NA"),
        "active": ("1", "0", ""),
        "verified": ("1.0", "0.0", ""),
        "opted": ("Y", "N", "?"),
    }.items():
        values = _two(file.rng, file.n_rows)
        cells, there = with_holes(file.rng, [true if value else false for value in values], marker)
        file.add(name, cells, _is(kept(values, there)))  # type: ignore[arg-type] # truth values stay what they are
    values = _two(file.rng, file.n_rows)
    cells = ["x" if value else "" for value in values]
    file.add("flag", cells, _is(values), meaning("text", [cell or None for cell in cells], "categorical boolean"))
    return file


def _target(name: str, levels: Sequence[str]) -> File:
    """Write a target of codes or of mixed truth values."""
    file = File(name, "codes: target", target="class")
    cells = picks(file.rng, file.n_rows, levels)
    if name == "target_mixed":
        file.add("class", cells, _is([cell.lower() in ("true", "yes") for cell in cells]))
    else:
        file.add("class", cells, meaning("text", [cell.strip() for cell in cells]))
    values = [str(value) for value in file.rng.integers(18, 90, file.n_rows)]
    file.add("age", values, meaning("number", list(map(float, values))))
    return file
