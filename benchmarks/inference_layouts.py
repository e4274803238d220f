"""Files that are laid out in other ways than one line of names and one line per row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from benchmarks.inference_collection import File, days, decimals, numbers, picks
from benchmarks.inference_truth import meaning


def _after_line(number: int, text: str) -> Callable[[str], str]:
    def edit(whole: str) -> str:
        lines = whole.split("\n")
        return "\n".join([*lines[:number], text, *lines[number:]])

    return edit


def _without_names(whole: str) -> str:
    return whole.partition("\n")[2]


def _row_names(whole: str) -> str:
    """Add row numbers without a name, as R's write.table does."""
    head, *lines = whole.rstrip("\n").split("\n")
    return "\n".join([head, *(f"{number},{line}" for number, line in enumerate(lines, start=1))]) + "\n"


def _index_column(whole: str) -> str:
    """Add row numbers under an empty name, as pandas does."""
    head, *lines = whole.rstrip("\n").split("\n")
    return "\n".join([f",{head}", *(f"{number},{line}" for number, line in enumerate(lines))]) + "\n"


def _repeated_names(whole: str) -> str:
    head, *lines = whole.split("\n")
    return "\n".join([head, *lines[:200], head, *lines[200:]])


def _blank_lines(whole: str) -> str:
    lines = whole.split("\n")
    return "\n".join([*lines[:50], "", *lines[50:90], "", "", *lines[90:]])


def _fixed_width(whole: str) -> str:
    return "\n".join("  ".join(f"{cell:>12}" for cell in line.split(",")) for line in whole.rstrip("\n").split("\n"))


def _mixed_ends(whole: str) -> str:
    lines = whole.split("\n")
    return "\r\n".join(lines[:100]) + "\n" + "\n".join(lines[100:])


def _short_line(whole: str) -> str:
    lines = whole.split("\n")
    return "\n".join([*lines[:150], lines[150].rpartition(",")[0], *lines[151:]])


def _long_line(whole: str) -> str:
    return _after_line(0, "")(whole).removeprefix("\n").replace("blue,", "blue,extra,", 1)


EDITS: dict[str, Callable[[str], str]] = {
    "repeated_names": _repeated_names,
    "no_names": _without_names,
    "row_names": _row_names,
    "index_column": _index_column,
    "blank_lines": _blank_lines,
    "blank_first_line": lambda whole: "\n" + whole,
    "title_line": lambda whole: "Report of sales 2024\n" + whole,
    "title_and_blank": lambda whole: "Report of sales 2024,,,,\nCreated: 2024-05-01,,,,\n,,,,\n" + whole,
    "comment_lines": lambda whole: "# exported 2024-05-01\n# unit: kg\n" + whole,
    "comment_names": lambda whole: "#" + whole,
    "units_line": _after_line(1, "kg,,pieces,,"),
    "sql_rule": _after_line(1, "------,------,------,------,------"),
    "totals": lambda whole: whole + "{sum:.2f},,{count},,\n",
    "totals_word": lambda whole: whole + "{sum:.2f},Total,{count},,\n",
    "source_line": lambda whole: whole + "Source: national office of statistics\n",
    "rows_line": lambda whole: whole + "\n(400 rows affected)\n",
    "sep_line": lambda whole: "sep=,\n" + whole,
    "trailing_delimiter": lambda whole: re.sub("\n", ",\n", whole),
    "trailing_delimiter_rows": lambda whole: re.sub("\n", ",\n", whole).replace(",\n", "\n", 1),
    "padded_names": lambda whole: whole.replace(",", ", ", 4),
    "spaces_behind_delimiters": lambda whole: whole.replace(",", ", "),
    "fixed_width": _fixed_width,
    "carriage_returns": lambda whole: whole.replace("\n", "\r"),
    "mixed_ends": _mixed_ends,
    "short_line": _short_line,
    "long_line": _long_line,
    "no_last_end": lambda whole: whole.rstrip("\n"),
    "end_of_file_sign": lambda whole: whole + "\x1a",
    "single_quotes": lambda whole: re.sub("(red|green|blue)", r"'\1'", whole),
    "empty_rows": lambda whole: whole + ",,,,\n" * 20,
    "index_named": lambda whole: _index_column(whole).replace(",weight", "Unnamed: 0,weight", 1),
    "bare_quotes": lambda whole: whole.replace("green", '5" green'),
    "two_delimiters": lambda whole: whole.replace(",", "||"),
    "two_names": lambda whole: whole.replace("colour", "weight", 1),
    "backslash_quotes": lambda whole: whole.replace("green", '"green \\"x\\" , y"'),
}


def files() -> Iterator[File]:
    """Return the files."""
    for name, edit in EDITS.items():
        yield _sales(f"layout_{name}", edit)
    for name, delimiter in (("semicolon", ";"), ("tab", "\t"), ("pipe", "|"), ("colon", ":"), ("caret", "^")):
        file = _sales(f"layout_{name}", None)
        file.delimiter = delimiter
        yield file
    quoted = _sales("layout_all_quoted", None)
    quoted.quote = True
    yield quoted
    yield _excel()


def _sales(name: str, edit: Callable[[str], str] | None) -> File:
    """Write a small table of sales."""
    file = File(name, f"layout: {name.removeprefix('layout_').replace('_', ' ')}", with_control=False)
    values = decimals(file.rng, file.n_rows, 1, 90)
    file.add("weight", map(str, values), numbers(values))
    file.add("colour", picks(file.rng, file.n_rows, ["red", "green", "blue"]))
    counts = decimals(file.rng, file.n_rows, 1, 400, 0)
    file.add("pieces", map(str, counts), numbers(counts))
    dates = days(file.rng, file.n_rows, "2023-01-01", "2024-12-31")
    file.add("sold", [f"{day:%Y-%m-%d}" for day in dates], meaning("date", dates))
    _adapt(file)
    # Only the two layouts of totals have these words in braces.
    file.edit = (
        (lambda whole: edit(whole).replace("{sum:.2f}", str(sum(values))).replace("{count}", str(sum(counts))))
        if edit
        else None
    )
    return file


def _adapt(file: File) -> None:
    """Change what the columns mean where the layout changes the cells."""
    by_layout = {
        "layout_backslash_quotes": [lambda text: 'green "x" , y' if text == "green" else text],
        "layout_bare_quotes": [lambda text: '5" green' if text == "green" else text],
        "layout_single_quotes": [lambda text: text, lambda text: f"'{text}'"],
    }
    if file.name in by_layout:
        colour = file.columns[1]
        meanings = tuple(meaning("text", map(change, colour.cells)) for change in by_layout[file.name])
        file.columns[1] = replace(colour, meanings=meanings)
    if file.name == "layout_empty_rows":
        # Rows without any value may be left out or kept.
        file.columns = [
            replace(
                column,
                meanings=(
                    *column.meanings,
                    replace(column.meanings[0], values=(*column.meanings[0].values, *[None] * 20)),
                ),
            )
            for column in file.columns
        ]


def _excel() -> File:
    """Write what Excel saves in Germany: a mark, semicolons, decimal commas, days first, and its ends of lines."""
    file = File("excel_german", "layout: Excel export", delimiter=";", encoding="utf-8-sig", end="\r\n")
    rng, n = file.rng, file.n_rows
    values = decimals(rng, n, 5, 90_000)
    file.add("Umsatz (€)", [f"{value}".replace(".", ",") for value in values], numbers(values))
    dates = days(rng, n, "2020-01-01", "2024-12-31")
    file.add("Datum", [f"{day:%d.%m.%Y}" for day in dates], meaning("date", dates))
    file.add("Straße", picks(rng, n, ["Hauptstraße; links", 'Am "Markt"', "Allee\nHinterhaus"]))
    values = decimals(rng, n, 1, 99, 0)
    file.add("Anteil", [f"{value}%" for value in values], numbers(values), numbers([value / 100 for value in values]))
    file.add("PLZ", picks(rng, n, ["01067", "80331", "20095"]))
    flags = [bool(flag) for flag in rng.random(n) < 0.5]
    file.add("Aktiv", ["WAHR" if flag else "FALSCH" for flag in flags], meaning("boolean", flags))
    return file
