"""The name that a change is recorded under."""

from __future__ import annotations

import getpass
import os
import socket

import pytest

from tasks.runs.actor import actor


def test_an_actor_is_a_user_at_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the environment names the user."""
    monkeypatch.setenv("LOGNAME", "ada")
    assert actor() == f"ada@{socket.gethostname()}"


def test_a_name_fits_a_line_of_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can neither steer a terminal nor fill a column."""
    monkeypatch.setenv("LOGNAME", "a\x1b[2J\n" + "x" * 1000)
    assert actor().isprintable()
    assert len(actor()) < 220


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run under ids that no file names."""

    def nameless() -> str:
        raise OSError("no username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert actor().startswith(f"uid {os.getuid()}@")
