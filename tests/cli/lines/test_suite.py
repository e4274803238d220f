"""Changes of a suite, one line per expectation."""

from cli.lines.suite import N_SHOWN, suite_document, suite_lines
from core.init.suite_update import SuiteUpdate

RANGE = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "fee"}, "meta": {"level": "warning"}}
COUNT = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}


def test_each_change_has_a_line_with_type_column_and_level() -> None:
    """What is new, what is gone, and what a person wrote."""
    update = SuiteUpdate({"expectations": [RANGE, COUNT]}, added=(RANGE,), removed=(), kept=(COUNT,))
    assert suite_lines(update, 1200) == [
        "  - 2 expectations from 1,200 rows",
        "  - new: expect_column_values_to_be_between on fee (warning)",
        "  - kept, written or changed by a person: expect_table_row_count_to_be_between (schema)",
    ]
    assert suite_document(update) == {"added": [RANGE], "removed": [], "kept": [COUNT]}


def test_no_change_is_said_and_many_are_cut() -> None:
    """A thousand columns do not fill the terminal."""
    same = SuiteUpdate({"expectations": [COUNT]}, (), (), ())
    assert suite_lines(same, 5) == ["  - 1 expectation from 5 rows: nothing has changed"]
    many = SuiteUpdate({"expectations": [RANGE] * 50}, (RANGE,) * 50, (), ())
    assert len(suite_lines(many, 5)) == N_SHOWN + 2
    assert suite_lines(many, 5)[-1] == "  - new: 20 more"
