from __future__ import annotations

import pytest

from core.data.batch_verdict import batch_verdict
from core.references import ExpectationOutcome


def outcome(level: str, passed: bool, n_unexpected: int = 0, name: str = "age in range") -> ExpectationOutcome:
    """Build an outcome."""
    return ExpectationOutcome(name, "expect_x", "age", level, passed, n_unexpected, f"{n_unexpected} rows")


def test_a_clean_batch_is_accepted_and_warnings_are_told() -> None:
    """A failed warning changes nothing but the reasons."""
    verdict = batch_verdict([outcome("row", True), outcome("warning", False, name="mean near 4")], 100, 0, 0.02)
    assert verdict.accepted
    assert verdict.reasons == ("all 100 rows passed, with warnings", "warning: mean near 4 (found: 0 rows)")


@pytest.mark.parametrize(("n_rows", "n_aside"), [(100, 0), (1, 0), (100, 2)])
def test_rows_with_a_warning_are_said_to_be_stored(n_rows: int, n_aside: int) -> None:
    """A reader of the answer learns that such a row is in the data, and how to keep such rows out."""
    outcomes = [outcome("row", n_aside == 0, n_aside, "owner known"), outcome("warning", False, 1)]
    verdict = batch_verdict(outcomes, n_rows, n_aside, 0.02)
    assert verdict.accepted
    assert verdict.reasons[1:] == (
        "warning: age in range (found: 1 rows)",
        "rows with a warning are stored; to set them aside, set meta.level of the expectation to 'row'",
    )
    assert n_aside or verdict.reasons[0].endswith("passed, with warnings")


def test_a_schema_failure_refuses_whatever_the_rows_are_like() -> None:
    """One failure at the level schema is enough, and is named first."""
    verdict = batch_verdict([outcome("row", False, 1), outcome("schema", False, name="column there")], 100, 0, 1.0)
    assert not verdict.accepted
    assert verdict.reasons[0].startswith("refused: column there")


@pytest.mark.parametrize(("n_quarantined", "accepted"), [(2, True), (3, False)])
def test_the_allowed_share_is_inclusive(n_quarantined: int, accepted: bool) -> None:
    """Two of a hundred rows are within two percent, three are not."""
    verdict = batch_verdict([outcome("row", False, n_quarantined)], 100, n_quarantined, 0.02)
    assert verdict.accepted is accepted
    assert f"{n_quarantined} of 100 rows ({n_quarantined}%)" in verdict.reasons[0]


def test_no_batch_is_left_without_rows() -> None:
    """Even where every row may be set aside, an empty rest is refused."""
    assert not batch_verdict([outcome("row", False, 5)], 5, 5, 1.0).accepted


def test_the_worst_expectations_come_first_and_the_rest_is_counted() -> None:
    """A verdict names five expectations and says how many more failed."""
    failed = [outcome("row", False, n, f"rule {n}") for n in range(1, 9)]
    (reason,) = batch_verdict(failed, 100, 8, 0.5).reasons
    assert "rule 8 (8 rows); rule 7" in reason
    assert reason.endswith("and 3 more")
    assert "rule 3" not in reason
