"""Work in forks of a warm process: output, signals, exit codes and ends are those of a new process."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.warm.client import GO, SIGNALLED
from tasks.warm.server import UNFIT

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 60

SERVER = """
import atexit, os, sys, threading, time
from pathlib import Path
from tasks.warm import server
from tasks.warm.leaving import raise_interrupt

def work(leaving, request):
    raise_interrupt()
    what = sys.argv[1]
    if what == "about":
        about = [sys.argv, dict(os.environ), os.getcwd(), os.getppid(), oct(os.umask(0o22)), os.isatty(1)]
        print(__import__("json").dumps(about))
        print("to standard error", file=sys.stderr)
        leaving.code = 3
    elif what == "read":
        print(sys.stdin.read().upper(), end="")
        leaving.code = 0
    elif what == "fail":
        raise ZeroDivisionError("on purpose")
    elif what == "exit":
        atexit.register(print, "the exit function ran")
        leaving.code = 7
    elif what == "note":
        with open(sys.argv[2], "a") as file:
            file.write("done\\n")
        leaving.code = 0
    elif what == "wait":
        try:
            print("waiting", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted")
            leaving.code = 130

server.IDLE_SECONDS, server.LOOK_SECONDS, server.CHILD_LOOK_SECONDS = float(sys.argv.pop()), 0.1, 0.1

def load():
    os.environ["SET_BY_A_LIBRARY"] = "1"
    return set()

server.serve(load, lambda: Path(sys.argv[1]), work)
"""

CLIENT = """
import os, sys
from pathlib import Path
from tasks.warm.client import Work, is_plain, run_warm
work = Work(["perennial", *sys.argv[1:]], os.environ)
code = run_warm(Path(os.environ["SOCKET"]), work) if is_plain(os.environ) else None
print("no warm process") if code is None else None
sys.exit(99 if code is None else code)
"""


@pytest.fixture(autouse=True)
def _signals_of_a_terminal() -> Iterator[None]:
    """Let commands have the signals of a terminal: a job in the background of a script ignores two of them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGQUIT)}
    for number, handler in before.items():
        if handler == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@dataclass
class Warm:
    """A warm process with a socket, and the commands that are sent to it."""

    path: Path
    process: subprocess.Popen[str]

    def start(self, *arguments: str, prefix: Sequence[str] = (), **more: str) -> subprocess.Popen[str]:
        """Start the process of a command."""
        self.path.with_name("client.py").write_text(CLIENT)
        return subprocess.Popen(
            [*(prefix or ()), sys.executable, str(self.path.with_name("client.py")), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "SOCKET": str(self.path), **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, given: str = "", **more: str) -> tuple[int, str, str]:
        """Run a command; return exit code, output and errors."""
        process = self.start(*arguments, **more)
        output, errors = process.communicate(given, timeout=SECONDS)
        return process.returncode, output, errors

    def waiting(self) -> tuple[subprocess.Popen[str], psutil.Process]:
        """Start a command that waits; return its process, and the fork that runs it."""
        process = self.start("wait")
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        (fork,) = [one for one in psutil.Process(self.process.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
        return process, fork


@contextmanager
def _warm(folder: Path, idle: float = 600, name: str = "test-1.sock") -> Iterator[Warm]:
    path, script = folder / name, folder / "server.py"
    path.unlink(missing_ok=True)
    script.write_text(SERVER)
    process = subprocess.Popen(
        [sys.executable, str(script), str(path), "0", str(idle)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OF_THE_SERVER": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _await(path.exists)
        yield Warm(path, process)
    finally:
        process.kill()
        process.communicate()


def _await(holds: Callable[[], object]) -> None:
    until = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Return a warm process that runs commands of the test in place of ours."""
    with _warm(tmp_path_factory.mktemp("warm")) as found:
        yield found


def test_a_fork_has_what_its_command_has(warm: Warm) -> None:
    """Arguments, streams, folder and umask are those of the command; what libraries have set stays."""
    code, output, errors = warm.run("about", "ä b", MINE="2", PYTHONPATH=str(ROOT))
    arguments, environment, folder, parent, umask, is_terminal = json.loads(output)
    assert (code, errors) == (3, "to standard error\n")
    assert arguments == ["perennial", "about", "ä b"]
    assert (environment["MINE"], environment["SET_BY_A_LIBRARY"]) == ("2", "1")
    assert "OF_THE_SERVER" not in environment
    assert (folder, parent, umask, is_terminal) == (str(Path.cwd()), warm.process.pid, oct(_umask()), False)


def _umask() -> int:
    present = os.umask(0o022)
    os.umask(present)
    return present


def test_a_fork_reads_the_input_of_its_command(warm: Warm) -> None:
    """Also what is piped into it."""
    assert warm.run("read", given="some rows\n") == (0, "SOME ROWS\n", "")


def test_a_fork_ends_as_a_process_does(warm: Warm) -> None:
    """Exit functions run before the exit code is told, and an error that is not caught has its trace and code 1."""
    assert warm.run("exit") == (7, "the exit function ran\n", "")
    code, _, errors = warm.run("fail")
    assert code == 1
    assert errors.rstrip().endswith("ZeroDivisionError: on purpose")


def test_commands_run_at_the_same_time(warm: Warm) -> None:
    """One that waits does not hold up another."""
    process, _ = warm.waiting()
    assert warm.run("read", given="x")[0] == 0
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SECONDS)[0] == "interrupted\n"
    assert process.returncode == 130


def test_a_command_that_is_killed_ends_its_fork(warm: Warm) -> None:
    """No fork goes on alone; and a command whose fork is killed ends by the same signal."""
    process, fork = warm.waiting()
    process.kill()
    process.communicate()
    fork.wait(SECONDS)
    process, fork = warm.waiting()
    fork.kill()
    process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_a_signal_ends_a_command_as_it_ends_a_process(warm: Warm, number: signal.Signals) -> None:
    """A shell, ``timeout`` and a process manager see which signal it was; the fork is gone."""
    process, fork = warm.waiting()
    process.send_signal(number)
    process.communicate(timeout=SECONDS)
    assert process.returncode == -number
    fork.wait(SECONDS)


def test_ctrl_c_before_the_work_begins_is_no_success(warm: Warm) -> None:
    """The fork ends by the signal, and not with the exit code of work that was done."""
    request: dict[str, Any] = {
        "arguments": ["perennial", "exit"],
        "environment": {},
        "package": None,
        "group_dies": False,
    }
    content = json.dumps({**request, "umask": 0o22, "ignored": [], "blocked": []}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(warm.path))
        connection.settimeout(SECONDS)
        connection.sendall(len(content).to_bytes(8, "big") + content)
        os.kill(int.from_bytes(connection.recv(8), "big"), signal.SIGINT)
        streams = [os.open(os.devnull, os.O_RDWR), os.open(".", os.O_RDONLY)]
        socket.send_fds(connection, [GO], [streams[0], streams[0], streams[0], streams[1]])
        for stream in streams:
            os.close(stream)
        assert connection.recv(2) == SIGNALLED + bytes([signal.SIGINT])


def test_ctrl_c_reaches_a_fork_that_has_no_group_yet(tmp_path: Path) -> None:
    """A fork becomes the leader of its group a moment after its command lets it begin."""
    with socket.socket(socket.AF_UNIX) as listening, subprocess.Popen(["sleep", str(SECONDS)], text=True) as fork:
        listening.bind(str(tmp_path / "test-1.sock"))
        listening.listen(1)
        process = Warm(tmp_path / "test-1.sock", fork).start("wait")
        connection, _ = listening.accept()
        with connection:
            length = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
            connection.recv(length, socket.MSG_WAITALL)
            connection.sendall(fork.pid.to_bytes(8, "big"))
            word, streams, _, _ = socket.recv_fds(connection, 1, 4)
            process.send_signal(signal.SIGINT)
            assert (word, fork.wait(SECONDS)) == (GO, -signal.SIGINT)
            connection.sendall(SIGNALLED + bytes([signal.SIGINT]))
            for stream in streams:
                os.close(stream)
        process.communicate(timeout=SECONDS)
        assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("kind", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_stopped_command_uses_no_processor_until_it_goes_on(warm: Warm, kind: signal.Signals) -> None:
    """Ctrl-Z is passed on; SIGSTOP, which cannot be caught, is noticed."""
    process, fork = warm.waiting()
    process.send_signal(kind)
    _await(lambda: fork.status() == psutil.STATUS_STOPPED)
    _await(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    process.send_signal(signal.SIGCONT)
    _await(lambda: fork.status() != psutil.STATUS_STOPPED)
    process.terminate()
    process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGTERM


def test_what_a_command_ignores_its_fork_ignores(warm: Warm) -> None:
    """``nohup`` holds: the end of the terminal ends neither."""
    process = warm.start("wait", prefix=("sh", "-c", "trap '' HUP; exec \"$@\"", "sh"))
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    (fork,) = [one for one in psutil.Process(warm.process.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    process.send_signal(signal.SIGHUP)
    fork.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=SECONDS)[0] == "interrupted\n"
    assert process.returncode == 130


def test_a_command_with_further_streams_runs_by_itself(warm: Warm) -> None:
    """As with ``<(…)`` of a shell: a fork would not have them."""
    done = warm.start("read", "/dev/fd/7", prefix=("bash", "-c", 'exec "$@" 7</dev/null', "bash"))
    assert done.communicate("x", timeout=SECONDS)[0] == "no warm process\n"


def test_a_warm_process_that_hangs_does_nothing_later(tmp_path: Path) -> None:
    """The command runs by itself after a moment; what was asked of the other is not done when it goes on."""
    with _warm(tmp_path) as warm:
        warm.process.send_signal(signal.SIGSTOP)
        assert warm.run("note", str(tmp_path / "notes"))[:2] == (99, "no warm process\n")
        warm.process.send_signal(signal.SIGCONT)
        assert warm.run("note", str(tmp_path / "more"))[0] == 0
        assert (tmp_path / "more").read_text() == "done\n"
        assert not (tmp_path / "notes").exists()


def test_a_fork_outlives_its_warm_process(tmp_path: Path) -> None:
    """The command has its exit code, and its end is still that of the fork."""
    with _warm(tmp_path) as warm:
        process, _ = warm.waiting()
        warm.process.kill()
        warm.process.wait()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SECONDS)[0] == "interrupted\n"
        assert process.returncode == 130
        with _warm(tmp_path) as second:
            process, fork = second.waiting()
            second.process.kill()
            process.kill()
            process.communicate()
            _await(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE)


def test_few_warm_processes_stay(tmp_path: Path) -> None:
    """Of more, those that were used last have their place; the others end."""
    with _warm(tmp_path) as first, _warm(tmp_path, name="test-2.sock") as second:
        assert first.run("read", given="x")[0] == 0
        with _warm(tmp_path, name="test-3.sock") as third, _warm(tmp_path, name="other-1.sock") as other:
            assert second.process.wait(SECONDS) == 0
            assert [one.run("read", given="x")[0] for one in (first, third, other)] == [0, 0, 0]


def test_two_that_start_at_once_import_once(tmp_path: Path) -> None:
    """The second ends at once, and the first serves."""
    with _warm(tmp_path) as warm, (tmp_path / "test-2.starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, str(tmp_path / "server.py"), str(tmp_path / "test-2.sock"), "0", "600"]
        assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode == UNFIT
        assert not (tmp_path / "test-2.sock").exists()
        assert warm.run("read", given="x")[0] == 0


def test_what_is_no_command_is_refused(warm: Warm) -> None:
    """Bytes without streams, or with a length of gigabytes, start no fork and end nothing."""
    for content in (b"", b"x", b"\xff" * 8, b"\0" * 100):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(warm.path))
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):  # it has not read everything
                assert connection.recv(8) == b""
    assert warm.run("read", given="x")[0] == 0


def test_a_killed_warm_process_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """The next command finds no process, removes the socket and runs by itself."""
    with _warm(tmp_path) as warm:
        warm.process.kill()
        warm.process.wait()
        assert warm.run("read") == (99, "no warm process\n", "")
        assert not warm.path.exists()


def test_an_idle_warm_process_ends(tmp_path: Path) -> None:
    """It takes its socket with it; a command that runs keeps it alive."""
    with _warm(tmp_path, idle=1.0) as warm:
        process, _ = warm.waiting()
        time.sleep(2)
        assert warm.process.poll() is None
        process.kill()
        process.communicate()
        assert warm.process.wait(SECONDS) == 0
        assert not warm.path.exists()


def test_a_warm_process_without_its_place_ends(tmp_path: Path) -> None:
    """Its socket was removed: nothing would ever use it."""
    with _warm(tmp_path) as first:
        first.path.unlink()
        assert first.process.wait(SECONDS) == 0


@pytest.mark.parametrize("after", ["path", "thread"])
def test_a_process_that_is_not_what_it_should_be_is_not_forked(tmp_path: Path, after: str) -> None:
    """Its code or settings changed while it imported them, or a thread has locks that no fork would release."""
    code = f"""
import sys, threading
from pathlib import Path
from tasks.warm import server
places = [Path(sys.argv[1]), Path("other" if {after == "path"} else sys.argv[1])]
wait = threading.Event().wait
def load():
    if {after == "thread"}:
        threading.Thread(target=wait, daemon=True).start()
    return set()
server.serve(load, lambda: places.pop(0), print)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "test-1.sock"), "0"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == UNFIT
    assert not list(tmp_path.glob("test-1*"))
