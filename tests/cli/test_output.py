"""Tables, documents and exit codes of the commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from cli.output import finish, section, short_path, table, utc_text


def test_columns_of_numbers_flush_right_and_texts_left() -> None:
    """A gap is no word among numbers; no line has blanks at its end."""
    rows = [("a", "1,000", "5"), ("long", "–", ""), ("", "-2.5", "x")]
    assert table(("name", "n", "mixed"), rows) == [
        "name      n  mixed",
        "a     1,000  5",
        "long      –",
        "       -2.5  x",
    ]


def test_no_rows_are_no_table() -> None:
    """So that the caller says instead what there is to do."""
    assert table(("name",), []) == []
    assert section([]) == []
    assert section(["a", "b"]) == ["", "  a", "  b"]


def test_a_path_is_short_below_the_working_directory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path beside it, and an address, stay as they are."""
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "var" / "x.html") == "var/x.html"
    assert short_path(tmp_path.parent / "x.html") == str(tmp_path.parent / "x.html")
    assert short_path("http://127.0.0.1:5000/#/models") == "http://127.0.0.1:5000/#/models"


def test_moments_are_told_in_utc() -> None:
    """Whatever zone they come in."""
    moment = datetime(2026, 1, 1, 1, 30, 5, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert utc_text(moment) == "2025-12-31 23:30:05"
    assert utc_text(moment.astimezone(UTC)) == utc_text(moment)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("refused", [True, False])
def test_a_decision_that_refuses_ends_with_3(capsys: pytest.CaptureFixture[str], as_json: bool, refused: bool) -> None:
    """After its document or its lines, never both."""
    if refused:
        with pytest.raises(SystemExit) as leaving:
            finish({"a": "ü"}, ["one", "two"], as_json, refused)
        assert leaving.value.code == 3
    else:
        finish({"a": "ü"}, ["one", "two"], as_json, refused)
    out = capsys.readouterr().out
    assert out == ('{\n  "a": "ü"\n}\n' if as_json else "one\ntwo\n")
    assert not as_json or json.loads(out) == {"a": "ü"}


def test_signed_numbers_flush_right() -> None:
    """Gains stand digit under digit."""
    assert table(("gain",), [("+0.0100",), ("-12.50",), ("0",)]) == ["   gain", "+0.0100", " -12.50", "      0"]
