"""A delivery reaches public addresses and those that the operator named, whatever form the address comes in."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email import message_from_string, policy
from pathlib import Path

import pytest

from config.settings import AlertSettings
from core.operate.alerts import Alert
from tasks.operate.alerts import deliver
from tests.tasks.operate.destinations import Received, mail_server, webhook

ROOT = Path(__file__).resolve().parents[3]
MESSAGE = Alert("k", "warning", "credit: <b>drift</b>", "- income <script>alert(1)</script> & more\n- second")


@pytest.fixture
def hook() -> Iterator[Received]:
    """Return a webhook on this machine."""
    with webhook() as received:
        yield received


def delivered(url: str, allow: str = "", seconds: float = 20) -> str | None:
    """Send the message; None where it arrived, else why not."""
    [problem] = deliver(url, [MESSAGE], AlertSettings(allow=allow, timeout_seconds=seconds))
    return problem


FORMS = (
    *("127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0"),  # noqa: S104
    *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "127.1"),
)


def test_this_machine_is_not_reached_in_any_form(hook: Received) -> None:
    """By number, name, IPv6 or a form that only the system's resolver understands: nothing arrives."""
    with ThreadPoolExecutor(2) as pool:
        problems = list(pool.map(lambda host: delivered(f"json://{host}:{hook.port}/"), FORMS))
    assert all(problems), list(zip(FORMS, problems, strict=True))
    assert problems[0] == "127.0.0.1 is not a public address (PERENNIAL_ALERTS_ALLOW)"
    assert hook.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "10.255.255.1", "[fd00:ec2::254]", "[fe80::1]", "224.0.0.1"])
def test_metadata_and_private_networks_are_refused_without_waiting(host: str) -> None:
    """The refusal comes before a packet, so it does not take the time of a host that is silent."""
    assert "not a public address" in str(delivered(f"json://{host}/latest/meta-data", seconds=10))


def test_what_the_operator_names_is_reached(hook: Received) -> None:
    """As a network, as an address, as a host whatever it resolves to; naming one host opens no other."""
    for allow in ("127.0.0.0/8", "10.0.0.0/8 127.0.0.1", "LOCALHOST"):
        assert delivered(f"json://localhost:{hook.port}/path", allow) is None
    assert len(hook.requests) == 3
    assert delivered(f"json://127.0.0.1:{hook.port}/", "localhost") is not None
    assert len(hook.requests) == 3


def test_redirects_lead_nowhere_else(hook: Received) -> None:
    """To metadata or to another address of this machine, followed or not."""
    with webhook("127.0.0.2") as secret:
        hook.status = 307
        for target in ("http://169.254.169.254/", f"http://127.0.0.2:{secret.port}/"):
            hook.location = target
            followed = delivered(f"json://127.0.0.1:{hook.port}/?redirect=yes", "127.0.0.1")
            assert "is not a public address" in str(followed)
            assert "307" in str(delivered(f"json://127.0.0.1:{hook.port}/", "127.0.0.1"))
        assert secret.requests == []


def test_mail_arrives_with_what_is_markup_escaped() -> None:
    """In the plain part as it is, in the HTML part as text."""
    with mail_server() as mail:
        url = f"mailto://localhost:{mail.port}?from=perennial@example.com&to=ann@example.com&mode=insecure"
        assert delivered(url, "localhost") is None
        [(sender, text)] = mail.requests
    parsed = message_from_string(text, policy=policy.default)
    assert "perennial@example.com" in sender
    assert parsed["Subject"] == MESSAGE.title
    html = parsed.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()
    assert "&lt;script&gt;" in html.get_content()


def test_a_failure_says_why_without_the_secrets_of_the_url(hook: Received) -> None:
    """The status is told; user, password and path are not."""
    hook.status = 500
    problem = delivered(f"json://hunter22:s3cretpw@127.0.0.1:{hook.port}/T0ken-In-Path", "127.0.0.1")
    assert "500" in str(problem)
    assert not any(part in str(problem) for part in ("hunter22", "s3cretpw", "T0ken"))


def test_a_destination_that_hangs_is_left(hook: Received) -> None:
    """After the time it may take, with what arrived before."""
    hook.release = threading.Event()
    assert delivered(f"json://127.0.0.1:{hook.port}/?rto=60", "127.0.0.1", seconds=4) == "no answer within 4 s"


@pytest.mark.parametrize("url", ["json://", "slack://", "https://example.com/nothing", "nonsense"])
def test_a_url_that_apprise_does_not_know_is_said_to_be_one(url: str) -> None:
    """Checked without a message, nothing is sent."""
    assert deliver(url, [], AlertSettings()) == ["Apprise cannot parse the URL"]


def test_a_delivery_starts_no_program_and_writes_no_file(tmp_path: Path) -> None:
    """Whatever a plugin might try."""
    target = tmp_path / "written"
    code = f"""
import os, socket, subprocess
from tasks.operate.alert_delivery import Guard
Guard([]).install()
attempts = [
    lambda: subprocess.run(["true"]), lambda: os.system("true"), lambda: os.fork(), lambda: os.execv("/x", ["x"]),
    lambda: open({str(target)!r}, "w"), lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock"),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    lambda: socket.socket().connect_ex(("127.0.0.1", 9)), lambda: socket.socket().connect(("localhost", 9)),
]
for attempt in attempts:
    try:
        attempt()
    except PermissionError:
        print("refused")
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert ended.stdout.split() == ["refused"] * 9
    assert not target.exists()
