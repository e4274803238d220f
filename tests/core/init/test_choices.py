"""Which notation a column has, where its texts leave two readings."""

from __future__ import annotations

from core.init.choices import NO_ANSWERS, Answers, chosen_dates, chosen_numbers
from core.init.date_forms import Order
from core.notations import DateNotation, NumberNotation

POINT = (NumberNotation(), NumberNotation(",", "."))
COMMA = (NumberNotation(","), NumberNotation(".", ","))
SLASHES: dict[Order, DateNotation] = {"dmy": DateNotation(("%d/%m/%Y",)), "mdy": DateNotation(("%m/%d/%Y",))}
EXAMPLES = {"n": "1.234", "m": "7,125", "day": "03/04/2024", "due": "25.12.2024", "clear": "1.234,5"}


def test_numbers_with_two_readings_are_asked_about() -> None:
    """Both are named, and the option that answers."""
    noted = chosen_numbers({"n": POINT}, EXAMPLES, set(), NO_ANSWERS)["n"]
    assert noted.notation is None
    assert noted.question == "numbers with two readings ('1.234' is 1.234 or 1,234); say which by --decimal"


def test_other_columns_of_the_file_decide() -> None:
    """A German file has commas before fractions and points between thousands."""
    noted = chosen_numbers({"n": POINT, "m": COMMA, "clear": (NumberNotation(",", "."),)}, EXAMPLES, set(), NO_ANSWERS)
    assert noted["n"].notation == NumberNotation(",", ".")
    assert noted["m"].notation == NumberNotation(",")
    assert not noted["n"].doubt + noted["m"].doubt


def test_a_column_without_fractions_takes_the_mark_of_the_others() -> None:
    """So that a fraction of a later file is read right."""
    readings = {
        "share": (NumberNotation(unit="%"),),
        "price": (NumberNotation(","),),
        "half": (NumberNotation(unit="m"),),
    }
    examples = {"share": "81 %", "price": "1,5", "half": "1.5 m"}
    noted = chosen_numbers(readings, examples, set(), NO_ANSWERS)
    assert noted["share"].notation == NumberNotation(",", "", "%")
    assert noted["half"].notation == NumberNotation(".", "", "m")


def test_points_beside_plain_fractions_are_fractions_with_a_remark() -> None:
    """A program may have written the other columns, and a person this one."""
    noted = chosen_numbers({"n": POINT, "m": COMMA}, EXAMPLES, {"."}, NO_ANSWERS)
    assert noted["n"].notation is None
    assert (
        noted["n"].doubt == "'n': '1.234' is read as 1.234, as other columns are; is it 1,234? If so, use --decimal ,"
    )
    assert (noted["m"].notation, noted["m"].doubt) == (NumberNotation(".", ","), "")


def test_files_with_both_marks_decide_nothing() -> None:
    """Then the user does."""
    readings = {"n": POINT, "clear": (NumberNotation(",", "."),)}
    assert chosen_numbers(readings, EXAMPLES, {"."}, NO_ANSWERS)["n"].question
    answered = chosen_numbers(readings, EXAMPLES, {"."}, Answers(decimal="."))["n"]
    assert (answered.notation, answered.question, answered.doubt) == (None, "", "")
    assert chosen_numbers(readings, EXAMPLES, {"."}, Answers(decimal=","))["n"].notation == NumberNotation(",", ".")


def test_dates_with_two_orders_are_asked_about() -> None:
    """Another column decides only if it separates its parts alike."""
    pointed: dict[Order, DateNotation] = {"dmy": DateNotation(("%d.%m.%Y",))}
    asked = chosen_dates({"day": SLASHES, "due": pointed}, EXAMPLES, NO_ANSWERS)
    assert asked["day"].question.startswith("dates with day or month first ('03/04/2024')")
    assert asked["due"].notation == DateNotation(("%d.%m.%Y",))
    slashed: dict[Order, DateNotation] = {"mdy": SLASHES["mdy"]}
    alike = chosen_dates({"day": SLASHES, "due": slashed}, EXAMPLES, NO_ANSWERS)["day"]
    assert alike.notation == SLASHES["mdy"]
    assert alike.doubt == "'day': '03/04/2024' is read as %m/%d/%Y; is it so?"
    assert chosen_dates({"day": SLASHES}, EXAMPLES, Answers(day_first=True))["day"].notation == SLASHES["dmy"]
    assert chosen_dates({"day": SLASHES}, EXAMPLES, Answers(day_first=False))["day"].notation == SLASHES["mdy"]


def test_points_mean_the_day_first_with_a_remark() -> None:
    """The month is not written first between points, but no value proves it."""
    both: dict[Order, DateNotation] = {"dmy": DateNotation(("%d.%m.%Y",)), "mdy": DateNotation(("%m.%d.%Y",))}
    noted = chosen_dates({"due": both}, EXAMPLES, NO_ANSWERS)["due"]
    assert noted.notation == both["dmy"]
    assert noted.doubt == "'due': '25.12.2024' is read as %d.%m.%Y; is it so?"


def test_years_of_two_digits_are_remarked_on() -> None:
    """45 is 2045, which a date of birth is not."""
    noted = chosen_dates({"due": {"dmy": DateNotation(("%d.%m.%y",))}}, EXAMPLES, NO_ANSWERS)["due"]
    assert "read as 1969 to 2068" in noted.doubt
