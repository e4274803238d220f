import doctest

import pytest

import config.names
from config.names import is_model_name


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(config.names).failed == 0


@pytest.mark.parametrize("text", ["", "1a", "_a", "a" * 64, "a\n", "a b", "é", "../a"])
def test_what_is_no_name_is_none(text: str) -> None:
    """A name is also that of files and of folders."""
    assert not is_model_name(text)
    assert is_model_name("a" * 63)
