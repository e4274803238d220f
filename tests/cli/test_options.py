"""Overrides of a model file are checked before anything starts."""

from __future__ import annotations

import click
import pytest

from cli.options import checked_overrides
from config.settings import Settings
from core.errors import ConfigError
from tests.factories import add_credit_model


def test_a_value_may_hold_the_sign_that_ends_its_path(project: Settings) -> None:
    """The first one ends it; a later override of a path replaces the earlier, and an empty value is a value."""
    add_credit_model(project)
    given = ("gate.floor=0.5", "gate.floor=0.7", "source.uri=a=b.csv", "source.missing=[]")
    assert checked_overrides("credit", given) == {"gate.floor": "0.7", "source.uri": "a=b.csv", "source.missing": "[]"}


@pytest.mark.parametrize("assignment", ["gate.floor", "=0.5", ""])
def test_what_is_no_assignment_is_a_fault_of_usage(project: Settings, assignment: str) -> None:
    """The message quotes it."""
    add_credit_model(project)
    with pytest.raises(click.UsageError, match=f"--set expects PATH=VALUE, found '{assignment}'"):
        checked_overrides("credit", (assignment,))


@pytest.mark.parametrize("assignment", ["gate.floor=high", "gate.flor=0.5", "retrain.per_week=0"])
def test_a_value_that_the_file_could_not_have_is_refused(project: Settings, assignment: str) -> None:
    """As if it stood in the file."""
    add_credit_model(project)
    with pytest.raises(ConfigError, match=assignment.partition("=")[0]):
        checked_overrides("credit", (assignment,))


def test_an_unknown_model_is_named(project: Settings) -> None:
    """Before its overrides are looked at."""
    assert project
    with pytest.raises(ConfigError, match=r"no model file .*nothing\.yaml"):
        checked_overrides("nothing", ("gate.floor=high",))
