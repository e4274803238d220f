"""The closest name, and the difference of two names that look the same."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.similar_names import closest, closest_text, unseen_difference

WORD = "d\u00e9faut de paiement-1"


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        (unicodedata.normalize("NFD", WORD), "is in another Unicode form: NFD instead of NFC"),
        (WORD.replace("f", "f\u200b"), "has U+200B ZERO WIDTH SPACE"),
        ("\ufeff" + WORD, "has U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        (WORD.replace("a", "a\u00ad"), "has U+00AD SOFT HYPHEN"),
        (WORD.replace(" ", "\u00a0", 1), "has U+00A0 NO-BREAK SPACE instead of U+0020 SPACE"),
        (WORD.replace("a", "\u0430"), "has U+0430 CYRILLIC SMALL LETTER A instead of U+0061 LATIN SMALL LETTER A"),
        (WORD.replace("-", "\u2010"), "has U+2010 HYPHEN instead of U+002D HYPHEN-MINUS"),
        (WORD.replace("1", "\uff11"), "has U+FF11 FULLWIDTH DIGIT ONE instead of U+0031 DIGIT ONE"),
        (WORD + " ", "has U+0020 SPACE"),
        (WORD.replace("p", "\x00p"), "has U+0000 CONTROL CHARACTER"),
        (WORD.replace(" de ", "de "), ""),
        (WORD, ""),
    ],
)
def test_a_difference_that_is_not_seen_is_named(found: str, difference: str) -> None:
    """The name of the character, or of the Unicode form, tells two names apart that look the same."""
    assert unseen_difference(WORD, found) == difference
    close = closest_text(WORD, ["another", found])
    assert close.startswith(f"closest: {found!r}")
    assert close.endswith(difference or repr(found))


def test_a_character_that_is_missing_is_named() -> None:
    """The expected name may be the one with the invisible character."""
    assert unseen_difference("age\u200b", "age") == "lacks U+200B ZERO WIDTH SPACE"


def test_what_looks_the_same_is_closer_than_what_is_spelt_alike() -> None:
    """A column in another form comes before one with another letter; upper and lower case count as equal."""
    names = ["caf\u00e9s", "cafe\u0301", "CAF"]
    assert closest("caf\u00e9", names) == ["cafe\u0301"]
    assert closest("CAFE\u0301", names, n=2) == ["cafe\u0301", "caf\u00e9s"]
    assert closest("income", ["age"]) == []
    assert closest_text("income", ["age"]) == ""


@given(st.text(max_size=20))
def test_every_text_in_another_form_is_explained(text: str) -> None:
    """The same letters in another form are told apart by a sentence, equal texts by none."""
    for other in (unicodedata.normalize("NFD", text), unicodedata.normalize("NFKC", text)):
        assert bool(unseen_difference(text, other)) == (text != other)
