"""Readers share a model's lease; retention waits for none of them and keeps later ones out."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import RunInProgressError
from tasks.versions.leases import reading, removing
from tests.factories import make_project

READER = """
import sys
from pathlib import Path
from config.settings import Settings
from tasks.versions.leases import reading
with reading("credit", Settings(root=Path(sys.argv[1]), var=Path(sys.argv[2]))):
    print("reading", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def test_nothing_is_removed_while_a_command_reads(settings: Settings) -> None:
    """Many readers at once are one reader to retention; another model is free."""
    with ExitStack() as readers:
        for _ in range(3):
            readers.enter_context(reading("credit", settings))
        with pytest.raises(RunInProgressError, match="reads files of the model 'credit'"), removing("credit", settings):
            pass
        with removing("other", settings):
            pass
    with removing("credit", settings):
        pass


def test_a_reader_waits_for_a_removal(settings: Settings) -> None:
    """It reads what is left, and never half of what is being removed."""
    began, read = threading.Event(), threading.Event()

    def read_it() -> None:
        began.set()
        with reading("credit", settings):
            read.set()

    with removing("credit", settings):
        thread = threading.Thread(target=read_it)
        thread.start()
        began.wait()
        assert not read.wait(0.2)
    thread.join()
    assert read.is_set()


def test_a_lease_ends_with_its_process(settings: Settings) -> None:
    """A reader that is killed leaves nothing behind that retention would wait for."""
    command = [sys.executable, "-c", READER, str(settings.root), str(settings.var)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        with pytest.raises(RunInProgressError), removing("credit", settings):
            pass
        reader.kill()
        reader.wait()
    with removing("credit", settings):
        pass
