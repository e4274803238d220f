"""Progress is shown where a command takes longer than a second, on standard error only."""

from __future__ import annotations

import logging
from time import sleep

import pytest

from cli import progress
from cli.progress import progress_lines

LOG = logging.getLogger("perennial.inspect")


def test_a_long_command_prints_its_stages_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest stage after the first delay, later ones at once, the last one again."""
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.2)
    with progress_lines(show=True):
        LOG.info("reading %s", "rows.csv")
        sleep(0.15)
        LOG.info("computing statistics")
        sleep(0.4)
    LOG.info("afterwards")
    printed = capsys.readouterr()
    stages = [line.split(" s  ")[1] for line in printed.err.splitlines()]
    assert stages[:2] == ["reading rows.csv", "computing statistics"]
    assert len(stages) > 2
    assert set(stages[2:]) == {"computing statistics"}
    assert printed.out == ""


@pytest.mark.parametrize("show", [True, False])
def test_a_short_command_and_one_with_json_print_nothing(capsys: pytest.CaptureFixture[str], show: bool) -> None:
    """A small file is read before a line would be of use; JSON is for programs."""
    with progress_lines(show=show):
        LOG.info("reading")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
