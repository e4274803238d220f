"""Choose the notation of each column of a source, where its texts alone leave two readings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from config.schema import DecimalMark
from core.data.cells import stated_number
from core.init.date_forms import Order, clear_order, has_short_years
from core.notations import DateNotation, Notation, NumberNotation
from core.text import number, short


@dataclass(frozen=True)
class Answers:
    """What the user says about the source as a whole.

    Parameters
    ----------
    decimal
        Mark before the fraction of numbers, where a column does not decide it; None if it was not said.
    day_first
        Whether the day stands before the month, where a column does not decide it; None if it was not said.
    encoding
        Of the text; None if it is to be detected.
    """

    decimal: DecimalMark | None = None
    day_first: bool | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class Noted:
    """How the values of a column are written.

    Parameters
    ----------
    notation
        In which they are read; None if they need none, or if it is not clear.
    question
        Why it is not clear and what to do; empty if it is.
    doubt
        What the user should check; empty if there is nothing.
    """

    notation: Notation | None = None
    question: str = ""
    doubt: str = ""


NO_ANSWERS = Answers()
NOT_NOTED = Noted()


def chosen_numbers(
    readings: Mapping[str, Sequence[NumberNotation]],
    examples: Mapping[str, str],
    plain_marks: Set[DecimalMark],
    answers: Answers,
) -> dict[str, Noted]:
    """Choose the notation of columns of numbers, by the marks of the other columns and the user's answer.

    Parameters
    ----------
    readings
        By column, one or two (:func:`core.init.number_forms.number_readings`).
    examples
        By column, a text; one with a point or a comma if there is one.
    plain_marks
        Decimal marks of the columns that need no notation.
    answers
        Of the user.
    """
    clear = {found[0].decimal for found in readings.values() if len(found) == 1 and _shows_mark(found[0])}
    marks = clear | plain_marks
    mark = answers.decimal or (next(iter(marks)) if len(marks) == 1 else None)
    return {
        column: Noted(_usual_is_none(_with_mark(found[0], examples[column], mark)))
        if len(found) == 1
        else _decided(column, found, examples[column], mark, answers)
        for column, found in readings.items()
    }


def chosen_dates(
    readings: Mapping[str, Mapping[Order, DateNotation]], examples: Mapping[str, str], answers: Answers
) -> dict[str, Noted]:
    """Choose the notation of columns of dates, by the order in the other columns and the user's answer.

    Parameters
    ----------
    readings
        By column, at least one (:func:`core.init.date_forms.date_readings`).
    examples
        By column, a text that has all readings.
    answers
        Of the user.
    """
    said: Order | None = None if answers.day_first is None else "dmy" if answers.day_first else "mdy"
    known = {_shape(one): order for found in readings.values() if len(found) == 1 for order, one in found.items()}
    noted = {}
    for column, found in readings.items():
        other = next((known[shape] for one in found.values() if (shape := _shape(one)) in known), None)
        noted[column] = _date(column, found, examples[column], clear_order(found, said or other))
    return noted


def _shape(notation: DateNotation) -> str:
    """Return what separates day, month and year."""
    return re.sub("[%a-zA-Z: ]", "", notation.formats[0])


def _with_mark(notation: NumberNotation, example: str, mark: DecimalMark | None) -> NumberNotation:
    """Return the notation with the mark of the other columns, if the column has no fraction that shows its own."""
    shows_none = not set(example).intersection(".,") and notation.thousands != mark
    return replace(notation, decimal=mark) if mark is not None and shows_none else notation


def _shows_mark(notation: NumberNotation) -> bool:
    return notation.decimal == "," or notation.thousands == ","


def _usual_is_none(notation: NumberNotation) -> NumberNotation | None:
    return None if notation == NumberNotation() else notation


def _decided(
    column: str, found: Sequence[NumberNotation], example: str, mark: DecimalMark | None, answers: Answers
) -> Noted:
    fitting = [one for one in found if one.decimal == mark]
    if len(fitting) != 1:
        return Noted(question=_two_values(example, found))
    chosen = fitting[0]
    # A file may have points of both kinds: decimals that a program wrote, and thousands that a person typed.
    is_guess = chosen.decimal == "." and not chosen.thousands and answers.decimal is None
    read, other = (number(_value(example, one)) for one in (chosen, next(one for one in found if one != chosen)))
    doubt = f"{short(column)}: {short(example)} is read as {read}, as other columns are; is it {other}? If so, "
    return Noted(_usual_is_none(chosen), doubt=f"{doubt}use --decimal ," if is_guess else "")


def _two_values(example: str, found: Sequence[NumberNotation]) -> str:
    one, other = (number(_value(example, notation)) for notation in found[:2])
    return f"numbers with two readings ({short(example, 24)} is {one} or {other}); say which by --decimal"


def _value(example: str, notation: NumberNotation) -> float:
    return stated_number(example, notation) or 0.0


def _date(column: str, found: Mapping[Order, DateNotation], example: str, order: Order | None) -> Noted:
    if order is None:
        return Noted(
            question=f"dates with day or month first ({short(example, 24)}); say which by --day-first or --month-first"
        )
    notation = found[order]
    if len(found) > 1:
        return Noted(
            notation, doubt=f"{short(column)}: {short(example, 24)} is read as {notation.formats[0]}; is it so?"
        )
    short_years = f"{short(column)} has years of two digits ({short(example, 24)}), read as 1969 to 2068"
    return Noted(notation, doubt=short_years if has_short_years(notation) else "")
