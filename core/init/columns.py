"""Infer a model file from statistics of a data set's columns.

Every function is a pure decision on :class:`ColumnStatistics`. Each decision has a sentence with its reason, which
becomes a comment of the model file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from core.errors import SchemaError
from core.init.codes import are_labels
from core.init.notations import epoch_range, epoch_unit
from core.text import name_words, number, percent, short

Kind = Literal["numeric", "categorical", "boolean", "dates", "ignored", "left out"]
Why = dict[tuple[str, ...], str]
"""Reason by place in the model file, such as ``("features", "numeric", "age")``."""

LEVEL_MARKERS = frozenset(
    {"?", "na", "n/a", "n.a.", "null", "nan", "(null)", "<null>", "<na>", "\\n"}
    | {"#n/a", "#na", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!", "#wert!"}
)
"""Texts that mean *no value* in a text column too; ``unknown``, ``none`` and ``-`` may be answers and stay levels."""

MISSING_MARKERS = LEVEL_MARKERS | frozenset(
    {"", "none", "nil", "-", "--", "---", ".", "..", "...", "*", "unknown", "missing", "undefined", "tbd"}
    | {"n.a", "n/d", "n.d.", "n/v", "k.a.", "k. a.", "keine angabe", "unbekannt", "inconnu", "onbekend", "desconocido"}
    | {"not available", "not applicable", "no data", "0000-00-00", "0000-00-00 00:00:00"}
)
"""Texts (lower case, trimmed) that mean *no value* in a column of numbers or dates."""

MAX_STRANGE_TEXTS = 10
"""Maximum number of distinct other texts in a column that still counts as one of numbers or dates."""

MAX_CLASSES = 50
MAX_CODED_CLASSES = 20
FEW_LEVELS = 30
MAX_CATEGORY_LEVELS = 1000
MIN_ROWS_PER_LEVEL = 10
"""Minimum mean rows per level in a column of more than ``FEW_LEVELS`` levels: a model overfits rarer levels."""

MIN_ROWS_PER_ENCODED_LEVEL = 3
"""Minimum mean rows per level in a column of many levels that is encoded by its mean target: with fewer rows, a level's
mean is little more than the mean of all."""

MAX_ENCODED_LEVELS = 20_000
"""Maximum levels of such a column: each is in the bundle and in the memory of each process that serves."""

SLICE_LEVELS = range(2, 11)
MAX_SLICES = 3
MAX_COLUMN_NAME = 1024

POSITIVE_WORDS = ("1", "1.0", "true", "yes", "y", "t", "positive", "pos")
BOOLEAN_PAIRS = (
    frozenset({"true", "false"}),
    frozenset({"t", "f"}),
    frozenset({"yes", "no"}),
    frozenset({"y", "n"}),
    frozenset({"1", "0"}),
    frozenset({"1.0", "0.0"}),
)
YES_WORDS = frozenset({"true", "t", "yes", "y", "1", "1.0"})
NO_WORDS = frozenset({"false", "f", "no", "n", "0", "0.0"})
"""Words (lower case) that the ingestion reads as true and as false."""

OTHER_TRUTH_WORDS = frozenset(
    {"on", "off", "-1", "ja", "nein", "nee", "nej", "oui", "non", "vrai", "faux", "wahr", "falsch", "si", "sí", "sì"}
    | {"da", "ne", "ano", "tak", "nie", "sim", "não", "verdadero", "falso"}
)
"""Words that mean yes or no, but that the ingestion does not read as such."""

MIN_EPOCHS = 20
EXCEL_DAYS = range(20_000, 60_001)
"""Days since 1899-12-30, as Excel counts them, of the years 1954 to 2064."""

MONTHS = range(190_001, 210_013)
"""Months such as 202405."""

TIME_WORDS = frozenset(
    {"at", "created", "date", "datetime", "dt", "epoch", "modified", "seen", "time", "timestamp", "ts", "unix"}
    | {"updated", "utc", "when"}
)
IDENTIFIER_DIGITS = 12
DOUBTFUL_DIGITS = 7
NUMBERED_DIGITS = 4
"""Minimum digits of whole numbers that differ in nearly every row: in identifiers, in doubt, and by their name."""

NUMBERED_WORDS = frozenset(
    {
        "account",
        "barcode",
        "code",
        "ean",
        "fax",
        "gtin",
        "isbn",
        "konto",
        "no",
        "nr",
        "number",
        "nummer",
        "phone",
        "sku",
    }
    | {"ssn", "tel", "telephone", "ticket"}
)
IDENTIFIER_WORDS = frozenset({"id", "ids", "uuid", "guid", "pk", "rowid", "index", "rownum"})


@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of one column over all rows.

    Parameters
    ----------
    name
        Name in the source.
    type_name
        Type in the source (DuckDB's name).
    n_rows, n_missing
        Number of all rows, and of rows without a value: NULL, or a text that means no value.
    n_distinct
        Number of distinct values; exact if a decision depends on it, otherwise within a few percent.
    n_numbers, n_integers, n_infinite, n_dates
        Number of rows whose value parses as a finite number, as an integer, as an infinite number, as a date.
    minimum, maximum, mean, std
        Statistics of the finite numbers; None if there are none.
    earliest, latest
        Range of the dates; None if there are none.
    levels
        Values with their number of rows, the most frequent first; empty if there are too many for a category.
    mean_length, n_with_space
        Mean number of characters of the values as text, and number of rows whose text has a space.
    row_correlation
        Distinct integers: Spearman's correlation with the row's position, -1 to 1.
    time_correlation
        Numbers: Pearson's correlation with the declared time, -1 to 1.
    example
        Text columns: one of the values.
    strange
        Values that do not parse in a column that could otherwise be one of numbers or dates, with their number of rows,
        the most frequent first.
    code
        Whole numbers that are read as text: why they are codes; otherwise empty.
    notation
        Values that the ingestion does not read, or only in one of two ways: how they are written, and what to do;
        otherwise empty.
    written
        Values that are read in a notation: how they are written; otherwise empty.
    """

    name: str
    type_name: str
    n_rows: int
    n_missing: int
    n_distinct: int
    n_numbers: int = 0
    n_integers: int = 0
    n_infinite: int = 0
    n_dates: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    levels: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    mean_length: float = 0.0
    n_with_space: int = 0
    row_correlation: float | None = None
    time_correlation: float | None = None
    example: str = ""
    strange: tuple[tuple[str, int], ...] = ()
    code: str = ""
    notation: str = ""
    written: str = ""

    @property
    def n_values(self) -> int:
        """Number of rows with a value."""
        return self.n_rows - self.n_missing

    @property
    def missing_share(self) -> float:
        """Share of rows without a value, 0 to 1."""
        return self.n_missing / self.n_rows if self.n_rows else 0.0

    @property
    def is_boolean_type(self) -> bool:
        """Whether the source's type is boolean."""
        return self.type_name == "BOOLEAN"

    @property
    def is_date(self) -> bool:
        """Whether every value is a date."""
        return 0 < self.n_values == self.n_dates

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return 0 < self.n_values == self.n_numbers + self.n_infinite

    @property
    def is_integer(self) -> bool:
        """Whether every value is an integer."""
        return 0 < self.n_values == self.n_integers

    @property
    def is_nested(self) -> bool:
        """Whether the source's type is a list, a record or bytes."""
        return bool(re.search(r"\[|STRUCT|MAP|BLOB|UNION|BIT|VARIANT", self.type_name))

    @property
    def spells_boolean(self) -> bool:
        """Whether the column has only values that mean yes and no, in one spelling or in several."""
        words = {text.strip().lower() for text, _ in self.levels}
        if len(words) != len(self.levels) or self.n_distinct > 2:
            return self.n_distinct == len(self.levels) > 2 and _mean_yes_and_no(words)
        return words in BOOLEAN_PAIRS


@dataclass(frozen=True)
class Decision:
    """The decision about a column.

    Parameters
    ----------
    kind
        Its kind; a column that is ``left out`` is not in the model file.
    why
        The reason, for the comment in the model file.
    doubt
        Remark if the user should check it; empty otherwise.
    needs_mean_target
        Whether the column has so many levels that a model learns from their mean target only.
    """

    kind: Kind
    why: str
    doubt: str = ""
    needs_mean_target: bool = False

    @property
    def is_feature(self) -> bool:
        """Whether the model learns from the column."""
        return self.kind not in ("ignored", "left out")


@dataclass(frozen=True)
class TargetDecision:
    """The task, inferred from the target.

    Parameters
    ----------
    task
        ``binary``, ``multiclass`` or ``regression``.
    why
        Reason for the task.
    positive
        Binary: the class whose probability is predicted; otherwise None.
    why_positive
        Reason for the positive class; empty if there is none.
    classes
        Labels with their number of rows, the most frequent first; empty for regression.
    doubt
        What the user should check; empty if there is nothing.
    """

    task: Literal["binary", "multiclass", "regression"]
    why: str
    positive: str | None = None
    why_positive: str = ""
    classes: tuple[tuple[str, int], ...] = ()
    doubt: str = ""


def missing_texts(texts: Mapping[str, Iterable[tuple[str, int]]], numbers: Iterable[str]) -> dict[str, str]:
    """Return the texts that mean *no value*, each with the reason.

    Parameters
    ----------
    texts
        By column: values that parse neither as a number nor as a date, with their number of rows.
    numbers
        Columns of numbers or dates apart from these values: there, each of the values means no value. In other columns
        only :data:`LEVEL_MARKERS` do.

    Examples
    --------
    >>> missing_texts({"age": [("?", 3)], "job": [("unknown", 9)]}, numbers=["age"])
    {'?': "the other values of 'age' are numbers or dates (3 rows)"}
    """
    found: dict[str, str] = {}
    clean = set(numbers)
    for column, values in texts.items():
        for text, n_rows in values:
            if text in found:
                continue
            if column in clean:
                found[text] = f"the other values of {short(column)} are numbers or dates ({_rows(n_rows)})"
            elif text.strip().lower() in LEVEL_MARKERS:
                found[text] = f"a common marker of a missing value, in {short(column)} ({_rows(n_rows)})"
    return found


def may_be_value(text: str) -> bool:
    """Return whether a text that is not read may be a value that was written otherwise: it has a digit.

    Examples
    --------
    >>> may_be_value("1O5"), may_be_value("n.a."), may_be_value("0000-00-00")
    (True, False, False)
    """
    return text.strip().lower() not in MISSING_MARKERS and any(map(str.isdigit, text))


def reads_as_one(n_parsed: int, strange: Iterable[tuple[str, int]]) -> bool:
    """Return whether a column is one of numbers (or dates) apart from texts that mean no value.

    Any number of rows may have a text of :data:`MISSING_MARKERS`; other texts must be few and rare.

    Parameters
    ----------
    n_parsed
        Number of rows that parse as a number (or as a date).
    strange
        The other values with their number of rows.

    Examples
    --------
    >>> reads_as_one(10, [("?", 90)]), reads_as_one(98, [("broken", 2)]), reads_as_one(50, [("a", 25), ("b", 25)])
    (True, True, False)
    """
    others = [n_rows for text, n_rows in strange if text.strip().lower() not in MISSING_MARKERS]
    return n_parsed > 0 and len(others) <= MAX_STRANGE_TEXTS and sum(others) <= 0.05 * n_parsed


def target_decision(target: ColumnStatistics) -> TargetDecision:
    """Decide the task from the target's values.

    Raises
    ------
    SchemaError
        The target has lists, structs or bytes, no value, one value, dates, infinite numbers, too many texts, or a
        class with one row.
    """
    name = short(target.name)
    if target.is_nested:
        raise SchemaError(f"target {name} has values of type {target.type_name[:40]}; expected numbers or classes")
    if not target.n_values:
        raise SchemaError(f"target {name} has no value in any of {_rows(target.n_rows)}; choose another --target")
    if target.n_distinct < 2:
        raise SchemaError(
            f"target {name} is constant ({short(target.levels[0][0])} in all {_rows(target.n_values)}); "
            "a model needs at least two different values: choose another --target or add rows with another value"
        )
    if target.n_infinite:
        raise SchemaError(
            f"target {name} must be finite, found infinite values in {_rows(target.n_infinite)}; "
            "remove or correct these rows"
        )
    if target.notation:
        raise SchemaError(f"target {name}: expected numbers or classes, found {target.notation}")
    if target.n_distinct == 2:
        return _binary_decision(target)
    if target.is_number:
        return _number_decision(target)
    return _text_decision(target)


def column_decision(column: ColumnStatistics) -> Decision:
    """Decide what kind of feature a column is, from its own statistics only.

    Raises
    ------
    SchemaError
        The column has infinite numbers, or dates outside the years 1 to 9999.
    """
    decision = _unusable(column) or _boolean(column) or _date(column) or _number(column) or _text(column)
    if decision.kind == "dates" and column.n_infinite:
        raise SchemaError(
            f"column {short(column.name)} must have dates of the years 1 to 9999, found others in "
            f"{_rows(column.n_infinite)}; correct them or leave them empty"
        )
    if decision.kind == "numeric" and column.n_infinite:
        raise SchemaError(
            f"column {short(column.name)} must be finite, found infinite values in {_rows(column.n_infinite)}; "
            "correct them or leave them empty"
        )
    return decision


def _rows(n_rows: int) -> str:
    return f"{n_rows:,} row" + ("" if n_rows == 1 else "s")


def _shares(classes: Iterable[tuple[str, int]], total: int, limit: int = 4) -> str:
    listed = list(classes)
    shown = ", ".join(f"{short(text, 20)} {percent(n / total)}" for text, n in listed[:limit])
    return shown + (f", … ({len(listed)} in all)" if len(listed) > limit else "")


def _binary_decision(target: ColumnStatistics) -> TargetDecision:
    _refuse_single_row_classes(target)
    classes = target.levels
    word = _positive_word([text for text, _ in classes])
    rarer = min(classes, key=lambda level: (level[1], level[0]))[0]
    why = "the usual label of the positive class" if word is not None else "the rarer class"
    return TargetDecision(
        task="binary",
        why=f"{short(target.name)} has two values: {_shares(classes, target.n_values)}",
        positive=word if word is not None else rarer,
        why_positive=f"{why}: the model predicts its probability",
        classes=classes,
        doubt=_level_doubt(target),
    )


def _positive_word(labels: list[str]) -> str | None:
    lower = [label.strip().lower() for label in labels]
    # A 1 means yes only together with a 0 or a -1; together with a 2 it is a code.
    words = set(POSITIVE_WORDS) - (set() if {"0", "-1"} & set(lower) else {"1"})
    return next((label for label, word in zip(labels, lower, strict=True) if word in words), None)


def _number_decision(target: ColumnStatistics) -> TargetDecision:
    low, high = target.minimum or 0.0, target.maximum or 0.0
    coded = (
        target.is_integer
        and target.n_distinct <= MAX_CODED_CLASSES
        and high - low < 2 * target.n_distinct
        and target.n_values >= 30 * target.n_distinct
        and min(n for _, n in target.levels) >= 2
    )
    span = f"from {number(low)} to {number(high)}"
    if coded:
        why = (
            f"{target.n_distinct} whole numbers {span}, taken as classes; if they are amounts, set regression "
            "(and estimator, gate)"
        )
        return TargetDecision(task="multiclass", why=why, classes=target.levels)
    about = "about " if target.n_distinct > 1000 else ""
    return TargetDecision(
        task="regression", why=f"{short(target.name)} has {about}{target.n_distinct:,} different numbers {span}"
    )


def _text_decision(target: ColumnStatistics) -> TargetDecision:
    name = short(target.name)
    if target.is_date:
        raise SchemaError(
            f"target {name}: expected numbers or classes, found dates; derive a number or a class from them"
        )
    if target.n_distinct > MAX_CLASSES:
        example = f" (such as {short(target.example)})" if target.example else ""
        raise SchemaError(
            f"target {name} has {target.n_distinct:,} different texts{example}; expected numbers, or at most "
            f"{MAX_CLASSES} classes: merge its classes or choose another --target"
        )
    if target.spells_boolean:
        raise SchemaError(
            f"target {name} means yes or no, but in {target.n_distinct} spellings "
            f"({', '.join(short(text, 20) for text, _ in target.levels[:6])}); write true and false in every row"
        )
    _refuse_single_row_classes(target)
    why = f"{target.n_distinct} classes: {_shares(target.levels, target.n_values)}"
    return TargetDecision(task="multiclass", why=why, classes=target.levels, doubt=_level_doubt(target))


def _mean_yes_and_no(words: Set[str]) -> bool:
    return words <= YES_WORDS | NO_WORDS and bool(words & YES_WORDS) and bool(words & NO_WORDS)


def _level_doubt(column: ColumnStatistics) -> str:
    """Return a remark on levels that may mean the same; empty if there are none."""
    words = {text.strip().lower() for text, _ in column.levels}
    if len(words) > 2 and words <= YES_WORDS | NO_WORDS | OTHER_TRUTH_WORDS:
        return f"{short(column.name)} has {len(words)} spellings of yes and no, which the model learns from as levels"
    return _case_doubt(column)


def _case_doubt(column: ColumnStatistics) -> str:
    """Return a remark on levels that differ in case only; empty if there are none."""
    spelt: dict[str, str] = {}
    for text, _ in column.levels:
        other = spelt.setdefault(text.casefold(), text)
        if other != text:
            return (
                f"{short(column.name)} has levels that differ in case only, such as {short(other, 20)} and "
                f"{short(text, 20)}; the model learns from them as different ones"
            )
    return ""


def _refuse_single_row_classes(target: ColumnStatistics) -> None:
    single = [short(text) for text, n in target.levels if n < 2]
    if single:
        raise SchemaError(
            f"target {short(target.name)}: {len(single)} of its classes have only one row ({', '.join(single[:5])}); "
            "each class needs at least two, one for training and one for the holdout: merge or remove these classes"
        )


def _unusable(column: ColumnStatistics) -> Decision | None:
    if column.is_nested:
        what = "bytes" if column.type_name == "BLOB" else f"values of type {column.type_name.lower()[:40]}"
        return Decision("left out", f"has {what}, not single values")
    if not column.n_values:
        return Decision("ignored", "no value in any row")
    if column.n_distinct == 1 and not column.n_missing:
        return Decision("ignored", "the same value in every row")
    return None


def _boolean(column: ColumnStatistics) -> Decision | None:
    if not column.is_boolean_type and not column.spells_boolean:
        return None
    true = sum(n for text, n in column.levels if text.strip().lower() in POSITIVE_WORDS)
    spellings = f"; in {len(column.levels)} spellings" if len(column.levels) > 2 else ""
    return Decision("boolean", f"yes or no; yes in {percent(true / column.n_values)}{spellings}{_missing(column)}")


def _date(column: ColumnStatistics) -> Decision | None:
    if not column.is_date:
        return None
    if column.earliest is None or column.latest is None:
        return Decision("dates", "no date of the years 1 to 9999")
    return Decision("dates", f"{column.earliest.date()} to {column.latest.date()}{_missing(column)}{_written(column)}")


def _number(column: ColumnStatistics) -> Decision | None:
    if not column.is_number:
        return None
    if column.notation:
        return Decision("ignored", column.notation)
    if column.written:
        return Decision("numeric", f"{_range(column)}{_missing(column)}{_written(column)}")
    plain = Decision("numeric", f"{_range(column)}{_missing(column)}", _identifier_doubt(column))
    return _identifier(column) or _code(column) or _epoch(column) or plain


def _identifier(column: ColumnStatistics) -> Decision | None:
    if _is_row_number(column):
        return Decision("ignored", f"a row number: {column.n_distinct:,} whole numbers, each once")
    if _is_long_identifier(column):
        n_digits = len(f"{column.minimum:.0f}")
        return Decision("ignored", f"an identifier: {column.n_distinct:,} different numbers of {n_digits} digits")
    is_numbered = not NUMBERED_WORDS.isdisjoint(name_words(column.name)[-1:]) and _same_digits(column, NUMBERED_DIGITS)
    is_named = _is_named_identifier(column) and (_has_too_many_levels(column) or not _is_stored_alike(column))
    all_alike = _is_stored_alike(column) or len(column.levels) > MAX_CATEGORY_LEVELS  # beyond, levels are not counted
    if is_named and not is_numbered and _repeats(column) and all_alike:
        return _encoded(column, "an identifier that repeats: ")
    if is_numbered or is_named:
        return Decision("ignored", f"named like an identifier, {column.n_distinct:,} different numbers")
    return None


def _code(column: ColumnStatistics) -> Decision | None:
    # Other codes stay numbers: trees can split them, and their order is often informative (seasons 1 to 4 as levels
    # raised the RMSE by 8 % on bike rentals).
    is_code = column.is_integer and _is_stored_alike(column)
    if _is_named_identifier(column) or (is_code and column.n_distinct == 2):
        return Decision("categorical", f"a code: {_levels(column)}{_missing(column)}")
    if not is_code or not are_labels(column.levels):
        return None
    doubt = f"{short(column.name)} has few, sparse whole numbers, taken as codes; if they are amounts, move it to "
    why = f"codes (few, sparse whole numbers): {_levels(column)}{_missing(column)}"
    return Decision("categorical", why, f"{doubt}features.numeric")


def _is_named_identifier(column: ColumnStatistics) -> bool:
    words = name_words(column.name)
    return column.is_integer and bool(words) and words[-1] in IDENTIFIER_WORDS


def _is_stored_alike(column: ColumnStatistics) -> bool:
    return len(column.levels) == column.n_distinct  # '1' and '1.0' would be two levels


def _range(column: ColumnStatistics) -> str:
    what = "whole numbers" if column.is_integer else "numbers"
    return f"{what} from {number(column.minimum or 0.0)} to {number(column.maximum or 0.0)}"


def _epoch(column: ColumnStatistics) -> Decision | None:
    """Decide on numbers that may count or name times: seconds since 1970, Excel's days, months such as 202405."""
    low, high = column.minimum or 0.0, column.maximum or 0.0
    unit = epoch_unit(low, high)
    if doubt := _calendar_doubt(column, low, high):
        return Decision("numeric", f"{_range(column)}{_missing(column)}", doubt)
    if not unit or column.n_distinct < MIN_EPOCHS:
        return None
    what = f"{unit} since 1970 ({epoch_range(low, high)})"
    doubt = f"{short(column.name)} may be {what}; if it is, move it to features.dates, with its unit in source.dates"
    return Decision("numeric", f"{_range(column)}{_missing(column)}", doubt)


def _calendar_doubt(column: ColumnStatistics, low: float, high: float) -> str:
    name = short(column.name)
    if column.is_integer and low in MONTHS and high in MONTHS and column.levels:
        months = {int(float(text)) % 100 for text, _ in column.levels}
        if months <= set(range(1, 13)) and len(months) > 2:
            return f"{name} may be months ({low:.0f}): as numbers, December and January are 89 apart; rewrite as dates"
    is_excel = low >= EXCEL_DAYS.start and high < EXCEL_DAYS.stop and is_time_name(column.name)
    if is_excel and column.n_distinct >= MIN_EPOCHS:
        return f"{name} may be Excel's days since 1899-12-30 ({low:.0f}); if it is, rewrite as 2026-01-31"
    return ""


def _text(column: ColumnStatistics) -> Decision:
    if column.notation:
        return Decision("ignored", column.notation)
    codes = f"codes ({column.code}): " if column.code else ""
    if column.n_distinct >= 0.95 * column.n_values and column.n_values >= 20:
        is_prose = column.mean_length > 40 or column.n_with_space > 0.5 * column.n_values
        what = "free text" if is_prose else "an identifier"
        count = f"{column.n_distinct:,} different values in {_rows(column.n_values)}"
        return Decision("ignored", _notation_advice(column) or f"{codes}{what}: {count}")
    if _has_too_many_levels(column):
        if _repeats(column) and not _notation_advice(column):
            return _encoded(column, codes)
        too_many = f"{codes or 'text with '}{column.n_distinct:,} different values, too many to learn from"
        return Decision("ignored", _notation_advice(column) or f"{too_many}; such as {short(column.example, 20)}")
    return Decision("categorical", f"{codes}{_levels(column)}{_missing(column)}", _level_doubt(column))


def _has_too_many_levels(column: ColumnStatistics) -> bool:
    thin = column.n_distinct > FEW_LEVELS and column.n_distinct * MIN_ROWS_PER_LEVEL > column.n_values
    return thin or column.n_distinct > MAX_CATEGORY_LEVELS or len(column.levels) > MAX_CATEGORY_LEVELS


def _repeats(column: ColumnStatistics) -> bool:
    """Return whether the levels have enough rows for a mean target, and are not too many to store."""
    return MIN_ROWS_PER_ENCODED_LEVEL * column.n_distinct <= column.n_values and column.n_distinct <= MAX_ENCODED_LEVELS


def _encoded(column: ColumnStatistics, what: str) -> Decision:
    why = f"{what}{column.n_distinct:,} levels, encoded by their mean target out of fold and by their frequency"
    return Decision("categorical", f"{why}{_missing(column)}", needs_mean_target=True)


def for_task(decision: Decision, task: str) -> Decision:
    """Return the decision for a task: of several classes there is no mean target, so many levels are ignored.

    Parameters
    ----------
    decision
        From :func:`column_decision`.
    task
        ``binary``, ``multiclass`` or ``regression``.
    """
    if not decision.needs_mean_target or task != "multiclass":
        return decision
    return Decision("ignored", f"too many levels to learn several classes from: {decision.why.partition(',  ')[0]}")


def _notation_advice(column: ColumnStatistics) -> str | None:
    """Return how to rewrite dates or numbers in an unsupported notation; None if the values are neither."""
    if column.notation or column.code:
        return column.notation or None
    example = short(column.example, 24)
    if re.fullmatch(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}.*", column.example):
        return f"dates, but not year first ({example}); rewrite as 2026-01-31 to learn from them"
    if re.fullmatch(r"[-+(]?[$€£¥]?\s?[-+]?\d{1,3}([ ,.']?\d{3})*([.,]\d+)?\s?[%€$£¥]?\)?", column.example):
        return f"numbers with signs or separators ({example}); rewrite as plain numbers to learn from them"
    return None


def _is_row_number(column: ColumnStatistics) -> bool:
    """Return whether integers only number the rows: each occurs once, without wide gaps or in the order of the file."""
    if not column.is_integer or column.n_distinct < column.n_values or column.n_values < 20:
        return False
    span = (column.maximum or 0.0) - (column.minimum or 0.0) + 1
    return span <= 2 * column.n_values or abs(column.row_correlation or 0.0) > 0.998


def _is_long_identifier(column: ColumnStatistics) -> bool:
    """Return whether nearly all whole numbers are different and have the same, large number of digits.

    Amounts spread over orders of magnitude; numbers of cards and devices, and times since 1970, do not.
    """
    return _same_digits(column, IDENTIFIER_DIGITS) and not epoch_unit(column.minimum or 0.0, column.maximum or 0.0)


def _same_digits(column: ColumnStatistics, least: int) -> bool:
    """Return whether nearly all whole numbers are different and have the same number of digits, at least ``least``."""
    low, high = (f"{value or 0.0:.0f}" for value in (column.minimum, column.maximum))
    is_unique = column.is_integer and column.n_values >= 20 and column.n_distinct >= 0.95 * column.n_values
    return is_unique and low.isdigit() and least <= len(low) == len(high)


def _identifier_doubt(column: ColumnStatistics) -> str:
    if not _same_digits(column, DOUBTFUL_DIGITS):
        return ""
    return (
        f"{short(column.name)} has {column.n_distinct:,} different whole numbers of {len(f'{column.minimum:.0f}')} "
        "digits, taken as amounts; if it names or numbers something, move it to features.ignored"
    )


def is_time_name(name: str) -> bool:
    """Return whether a column is named like a date or a time."""
    return bool(TIME_WORDS.intersection(name_words(name)))


def _levels(column: ColumnStatistics) -> str:
    shown = ", ".join(text for text, _ in column.levels[:3])
    more = ", …" if column.n_distinct > 3 else ""
    return f"{column.n_distinct} levels: {shown}{more}"


def _written(column: ColumnStatistics) -> str:
    return f"; {column.written}" if column.written else ""


def _missing(column: ColumnStatistics) -> str:
    return f"; missing in {percent(column.missing_share)}" if column.n_missing else ""
