"""One application as the endpoints of ``benchmarks.serving`` declare it: the features of the demo model."""

from __future__ import annotations

from pydantic import BaseModel


class Application(BaseModel):
    """A row; what may be missing may be null."""

    age: float | None
    income: float | None
    employment_years: float | None
    loan_amount: float | None
    loan_term_months: float | None
    interest_rate: float | None
    credit_utilisation: float | None
    n_open_accounts: float | None
    n_delinquencies: float | None
    months_since_delinquency: float | None
    savings: float | None
    debt_to_income: float | None
    region: str | None
    purpose: str | None
    housing: str | None
    employment: str | None
    channel: str | None
    has_guarantor: bool | None
