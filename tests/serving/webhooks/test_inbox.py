"""Deliveries over HTTP: what is signed is kept before it is answered, once; what is not leaves no trace."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import Environment
from pydantic import ValidationError
from sqlalchemy import text

import serving.webhooks.inbox
import store.inbox
from config.settings import HookSettings, RetentionSettings
from core.errors import StorageError
from core.operate.trigger import Trigger
from serving.access.rates import SharedRates
from serving.problems import KINDS
from serving.webhooks.inbox import Inbox
from store.database import open_database
from store.triggers import triggers
from tests.serving.deliveries import (
    GITHUB_SECRET,
    MLFLOW_SECRET,
    NEWER_SECRET,
    PATH,
    SHARED_SECRET,
    STANDARD_SECRET,
    Sent,
    deliver,
    deliver_raw,
    github,
    hook_settings,
    mlflow,
    project,
    push,
    registry,
    standard,
)
from tests.serving.obstacles import away, locked, read_only
from tests.serving.running import Running, make_key, running

MAX_BODY_KB = 64
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service of no model, in a project that describes two, that asks for keys and takes webhooks."""
    folder = tmp_path_factory.mktemp("hooks")
    key, _ = make_key("operate")
    given: dict[str, Any] = {"access": "required", "bad_credentials_per_minute": 10_000}
    with running(
        folder, [], keys=[key], hooks=hook_settings(max_body_kb=MAX_BODY_KB), root=project(folder), **given
    ) as service:
        yield service


def _kept(service: Running) -> list[Trigger]:
    return triggers(open_database(service.database_url), limit=10_000)


def _new(service: Running, act: Callable[[], object]) -> list[Trigger]:
    """Return the triggers that an act brings."""
    before = {found.id for found in _kept(service)}
    act()
    return [found for found in _kept(service) if found.id not in before]


def test_a_signed_delivery_is_a_trigger(service: Running) -> None:
    """Without a key, and under any name of the host; the answer says what it became."""
    sent = standard(b'{"type": "labels.arrived", "data": {"reason": "new labels"}}', id_="msg_first")
    (found,) = _new(service, lambda: deliver(service, sent))
    assert (found.model, found.id, found.kind) == ("credit", "standard:ci:msg_first", "webhook")
    assert (found.sender, found.status, found.flow_run) == ("ci", "waiting", None)
    assert json.loads(found.document)["reason"] == "new labels"
    assert deliver(service, sent) == (202, {"status": "known", "id": found.id, "reason": "new labels"})


def test_an_empty_delivery_will_do(service: Running) -> None:
    """That it came says enough."""
    status, answer = deliver(service, standard(b"", id_="msg_empty"))
    assert (status, answer["status"]) == (202, "accepted")


def test_a_delivery_for_one_model_is_refused_at_anothers_path(service: Running) -> None:
    """Whether its key is for that model or for all, and whether it was received there before."""
    other = PATH.replace("credit", "bike")
    own, shared = standard(id_="msg_own"), standard(id_="credit:msg_shared", secret=SHARED_SECRET)
    unbound = standard(id_="msg_shared", secret=SHARED_SECRET)

    def act() -> None:
        for sent in (own, shared):
            assert deliver(service, replace(sent, path=other))[0] == 403
            assert deliver(service, sent)[0] == 202
            assert deliver(service, replace(sent, path=other))[0] == 403
        assert deliver(service, replace(shared, path=other))[1]["detail"].startswith("the key of 'all' is for several")
        assert "begin its id with 'credit:'" in deliver(service, unbound)[1]["detail"]

    assert {found.model for found in _new(service, act)} == {"credit"}


def test_a_push_is_a_trigger_once(service: Running) -> None:
    """Under whatever delivery's id it comes again; other events are answered, and ask for nothing."""
    body = push("data.dvc", after=40 * "1")

    def act() -> None:
        answers = [deliver(service, github(body, delivery=f"d{i}")) for i in range(3)]
        assert [answer["status"] for _, answer in answers] == ["accepted", "known", "known"]
        status, answer = deliver(service, github(b'{"zen": "x"}', event="ping"))
        assert (status, answer["status"]) == (200, "ignored")

    (found,) = _new(service, act)
    assert found.id.startswith("github:repo:")
    assert json.loads(found.document)["repository"] == "bank/scores"


def test_a_push_is_refused_before_its_trigger_may_be_deleted(service: Running) -> None:
    """After seven days by default, for which triggers are always kept."""
    days = HookSettings().max_push_days
    assert days == 7
    for settings_ in (HookSettings, RetentionSettings):
        field = {HookSettings: "max_push_days", RetentionSettings: "triggers_days"}[settings_]
        with pytest.raises(ValidationError):
            settings_.model_validate({field: 29.5})

    def act() -> None:
        for age, status in ((days * 86_400 - 60, 202), (days * 86_400 + 60, 401)):
            repository = {"full_name": "bank/scores", "default_branch": "main", "pushed_at": int(time.time() - age)}
            assert deliver(service, github(push("data.dvc", repository=repository)))[0] == status

    assert len(_new(service, act)) == 1


def test_a_large_push_is_read_and_little_of_it_kept(service: Running) -> None:
    """Bodies above some size are read beside the event loop."""
    body = push("data.dvc", filler=(MAX_BODY_KB * 1024 - 1500) * "x", after=40 * "2")
    assert len(body) > serving.webhooks.inbox.INLINE_BYTES
    (found,) = _new(service, lambda: deliver(service, github(body)))
    assert deliver(service, github(body, secret="another-secret-1"))[0] == 401  # noqa: S106 - a secret of this test
    assert len(found.document) < 1000


def test_the_registry_asks_by_an_alias(service: Running) -> None:
    """Its other news about the model itself are ours."""
    news = registry("model_version_alias", "created", name="credit", version="3", alias="champion")
    wish = registry("model_version_alias", "created", name="credit", version="3", alias="retrain")
    assert deliver(service, mlflow(news, id_="n1"))[1]["status"] == "ignored"
    (found,) = _new(service, lambda: deliver(service, mlflow(wish, id_="n2")))
    assert found.id == "mlflow:registry:n2"


def _at(last: str) -> Sent:
    return replace(standard(id_=f"{last.partition('/')[0]}:x", secret=SHARED_SECRET), path=f"/v1/hooks/{last}")


REFUSED: dict[str, tuple[Callable[[], Sent], str]] = {
    "unsigned": (lambda: Sent(b"{}"), "unauthenticated"),
    "a key": (lambda: Sent(b"{}", {"authorization": "Bearer pk_0123456789ab_x"}), "unauthenticated"),
    "a key for another model": (lambda: standard(secret=NEWER_SECRET, id_="x"), "forbidden"),
    "a list": (lambda: standard(b"[]", id_="x"), "invalid-request"),
    "no JSON": (lambda: standard(b"{", id_="x"), "invalid-json"),
    "an unknown model": (lambda: _at("nobody/retrain"), "not-found"),
    "dots": (lambda: _at("%2e%2e/retrain"), "forbidden"),
    "a capital letter": (lambda: _at("Credit/retrain"), "not-found"),
    "a null": (lambda: _at("credit%00/retrain"), "forbidden"),
    "a longer path": (lambda: _at("credit/retrain/"), "unauthenticated"),
    "a path for a model": (lambda: _at("..%2fcredit/retrain"), "unauthenticated"),
    "too large": (lambda: standard((MAX_BODY_KB * 1024 + 1) * b"x", id_="x"), "body-too-large"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_why(service: Running, case: str) -> None:
    """As a problem document, and nothing is kept."""
    make, kind = REFUSED[case]

    def act() -> None:
        status, document = deliver(service, make())
        assert (status, document["type"]) == (KINDS[kind][0], f"urn:perennial:problem:{kind}")

    assert _new(service, act) == []


UNREAD: dict[str, Callable[[], Sent]] = {
    "unsigned": lambda: Sent(b""),
    "signed twice": lambda: standard().changed(x_mlflow_signature="v1,A"),
    "a malformed signature": lambda: github(b"{}").changed(x_hub_signature_256="sha256=0"),
    "no id": lambda: standard().changed(webhook_id=None),
    "an id with a dot": lambda: standard().changed(webhook_id="a.b"),
    "no time": lambda: mlflow(b"{}").changed(x_mlflow_timestamp=None),
    "an old time": lambda: standard(at=time.time() - 400),
    "a time to come": lambda: mlflow(b"{}", at=time.time() + 400),
    "a long signature": lambda: standard().changed(webhook_signature="v1,A " * 500),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_body_is_not_read_if_the_headers_already_decide(service: Running, case: str) -> None:
    """The answer comes although the body never does, and is counted."""
    lines = [f"{name}: {value!s}" for name, value in UNREAD[case]().headers.items()]
    head = [f"POST {PATH} HTTP/1.1", "host: x", "content-type: application/json", "content-length: 1000", *lines]
    before = _refused(service)
    with service.connect() as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        assert reply.status == 401
        reply.read()
    assert _refused(service) == before + 1


def _refused(service: Running) -> float:
    counted = service.service.metrics.hooks
    kinds = ("standard", "github", "mlflow", "unknown")
    return sum(float(counted.labels(kind, "unauthenticated")._value.get()) for kind in kinds)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", b"\xff"])
def test_a_body_of_another_kind_is_refused(service: Running, content_type: str | bytes | None) -> None:
    """Before it is read; GitHub's form is one of them."""
    assert deliver_raw(service, standard(id_="x"), content_type)[0] == 415


def test_a_delivery_is_posted(service: Running) -> None:
    """Whoever opens the address in a browser is told."""
    answer = service.request("GET", PATH)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_deliveries_are_measured_and_logged_without_their_secrets(tmp_path: Path) -> None:
    """By convention and result, both from closed lists; the line of the log names the sender."""
    hooks = hook_settings()
    with running(tmp_path, [], hooks=hooks, root=project(tmp_path)) as service:
        sent = standard(b'{"reason": "MARKER7f3a", "token": "MARKER7f3a"}', id_="msg_MARKER")
        for delivery in (sent, sent, github(b"{}", event="ping"), Sent(b"{}", {"x-hub-signature-256": "MARKER7f3a"})):
            deliver(service, delivery)
        deliver(service, Sent(b"MARKER7f3a", {"webhook-id": "MARKER7f3a"}))
        samples = {
            (dict(labels)["convention"], dict(labels)["result"]): value
            for (name, labels), value in service.samples().items()
            if name == "perennial_hook_deliveries_total" and value
        }
        lines, told = service.access_lines(), service.logged
    assert samples == {
        ("standard", "accepted"): 1,
        ("standard", "known"): 1,
        ("github", "ignored"): 1,
        ("github", "unauthenticated"): 1,
        ("unknown", "unauthenticated"): 1,
    }
    assert [line.get("user.name") for line in lines[:4]] == ["ci", "ci", "repo", None]
    for secret in ("MARKER", STANDARD_SECRET.removeprefix("whsec_"), GITHUB_SECRET, MLFLOW_SECRET):
        assert secret not in told
    assert str(sent.headers["webhook-signature"]) not in told


def test_without_secrets_nothing_is_accepted(tmp_path: Path) -> None:
    """And no body is read."""
    with running(tmp_path, [], root=project(tmp_path)) as service:
        for sent in (standard(), github(push("data.dvc")), mlflow(b"{}"), standard(10_000_000 * b"x")):
            assert deliver(service, sent)[0] == 401
        assert _kept(service) == []


def test_a_sender_keeps_to_its_rate(tmp_path: Path) -> None:
    """What is more is told when to come again; others, and what asks for nothing, are not counted with it."""
    with running(tmp_path, [], hooks=hook_settings(per_minute=5), root=project(tmp_path)) as service:
        ignored = [deliver(service, github(b"{}", event="ping"))[0] for _ in range(10)]
        replies = [deliver_raw(service, standard(id_=f"msg_{i}")) for i in range(7)]
        assert set(ignored) == {200}
        assert [status for status, _, _ in replies] == 5 * [202] + 2 * [429]
        assert 1 <= int(replies[-1][1]["retry-after"]) <= 12
        assert deliver(service, github(push("data.dvc")))[0] == 202
        assert len(_kept(service)) == 6


def test_repeats_of_a_delivery_use_up_no_rate(tmp_path: Path) -> None:
    """Ninety of them, fifty at once, before and after a restart of the service, and where the rate is used up."""

    def replayed(service: Running, sent: Sent) -> Counter[str]:
        with ThreadPoolExecutor(50) as threads:
            return Counter(
                str(answer["status"]) for _, answer in threads.map(lambda _: deliver(service, sent), range(90))
            )

    hooks, root = hook_settings(per_minute=5), project(tmp_path)
    sent = [standard(id_=f"msg_{i}") for i in range(6)]
    with running(tmp_path, [], hooks=hooks, root=root) as service:
        assert replayed(service, sent[0]) == {"accepted": 1, "known": 89}
        assert deliver(service, sent[1])[0] == 202
    with running(tmp_path, [], hooks=hooks, root=root) as service:
        assert replayed(service, sent[0]) == replayed(service, sent[1]) == {"known": 90}
        assert [deliver(service, one)[0] for one in sent[2:]] == [202, 202, 202, 429]
        assert replayed(service, sent[4]) == {"known": 90}
        assert len(_kept(service)) == 5


def test_whoever_forges_is_made_to_wait_and_the_sender_is_not(tmp_path: Path) -> None:
    """Good signatures and good keys of the same address are answered as before."""
    key, credential = make_key("operate")
    given: dict[str, Any] = {"access": "required"}
    with running(tmp_path, [], keys=[key], hooks=hook_settings(), root=project(tmp_path), **given) as service:
        forged = standard(secret="whsec_" + b64encode(bytes(32)).decode())
        replies = [deliver_raw(service, forged) for _ in range(22)]
        assert [status for status, _, _ in replies][:20] == 20 * [401]
        assert replies[-1][0] == 429
        assert int(replies[-1][1]["retry-after"]) >= 1
        assert deliver(service, Sent(b"{}"))[0] == 401
        assert deliver(service, standard(id_="msg_good"))[0] == 202
        assert service.request("GET", "/v1/status", key=credential).status_code == 200


def test_replays_start_nothing(service: Running) -> None:
    """A thousand of them, fifty at once, are one trigger; one answer says that it was accepted."""
    sent = standard(b'{"type": "x"}', id_="msg_replayed")

    def act() -> None:
        with ThreadPoolExecutor(50) as threads:
            answers = list(threads.map(lambda _: deliver(service, sent), range(1000)))
        assert Counter((status, answer["status"]) for status, answer in answers) == {
            (202, "accepted"): 1,
            (202, "known"): 999,
        }

    assert len(_new(service, act)) == 1


@pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("curl")), reason="openssl and curl are not installed")
@pytest.mark.parametrize("language", ["console", "python"])
def test_the_examples_of_the_document_are_accepted(service: Running, language: str, tmp_path: Path) -> None:
    """As they stand there, with a secret and an address put in."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    (example,) = [block for block in blocks if "webhook-signature" in block and "prefect" not in block]
    filled = example.replace("whsec_…", STANDARD_SECRET).replace("https://models.example.org", service.url)
    program = {"console": ["bash", "-euc", filled], "python": [sys.executable, "-c", filled]}[language]
    (found,) = _new(service, lambda: subprocess.run(program, cwd=tmp_path, check=True, capture_output=True))
    assert json.loads(found.document)["reason"] == "March is complete"


def test_the_template_for_prefect_cloud_gives_an_event() -> None:
    """Whatever a sender writes, it is JSON, and names the one model."""
    (template,) = re.findall(r"--template '(.*?)'\n", DOCUMENT.read_text(), flags=re.DOTALL)
    hostile = '"}, "event": "other'
    for headers, body in (
        ({"webhook-id": "m1"}, {}),
        ({}, {"id": "m2", "reason": hostile}),
        ({"webhook-id": hostile}, {}),
    ):
        event = json.loads(Environment(autoescape=False).from_string(template).render(headers=headers, body=body))  # noqa: S701 - JSON
        assert event["event"] == "perennial.retrain.requested"
        assert event["resource"] == {"prefect.resource.id": "perennial.model.credit"}
        assert event["payload"]["id"] in ("m1", "m2", hostile)


def test_a_key_that_accepts_nothing_is_named_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """GitHub's deliveries need a key for one model."""
    rates = SharedRates(tmp_path / "rates", 64)
    Inbox(hook_settings(), "sqlite://", None, rates)
    assert caplog.messages == []
    Inbox(hook_settings(github=f"repo={GITHUB_SECRET}"), "sqlite://", None, rates)
    (said,) = caplog.messages
    assert "deliveries of 'repo' are refused" in said
    assert said.endswith("list repo/MODEL=")
    rates.close()


# Forgeries: everything here is wrong in one place at least.


def _flipped(signature: str, place: int) -> str:
    """Return another signature: another bit of what its base64 stands for."""
    content = bytearray(b64decode(signature.removeprefix("v1,")))
    content[place % len(content)] ^= 1 << (place % 8)
    return f"v1,{b64encode(content).decode()}"


GARBAGE = st.binary(max_size=60).map(lambda raw: bytes(b for b in raw if b not in b"\r\n\x00"))
GOOD = {"standard": standard, "mlflow": mlflow}


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[Sent, str | bytes | None]:
    """Draw a delivery that was forged, is stale, unsigned, too large or wrongly encoded, and its content type."""
    body = draw(st.sampled_from([b"{}", b'{"type": "x"}', push("data.dvc"), b""]))
    kind, place = draw(st.sampled_from(sorted(GOOD))), draw(st.integers(0, 10_000))
    prefix = {"standard": "webhook-", "mlflow": "x-mlflow-"}[kind]
    signed = GOOD[kind](body, id_=f"forged-{place}")
    name = draw(st.sampled_from(sorted(signed.headers)))
    signature = prefix + "signature"
    tampered = replace(signed, body=body + draw(st.binary(min_size=1, max_size=20)))
    wrong_signature = {**signed.headers, signature: _flipped(str(signed.headers[signature]), place)}
    stale = GOOD[kind](body, id_="stale", at=time.time() + draw(st.sampled_from([-1, 1])) * (400 + place))
    over = draw(st.sampled_from([1, 2000]))
    push_ = github(push("data.dvc"))
    digits = str(push_.headers["x-hub-signature-256"])
    found: Sent = draw(
        st.sampled_from(
            [
                tampered,
                replace(signed, headers=wrong_signature),
                replace(signed, headers={k: v for k, v in signed.headers.items() if k != name}),
                replace(signed, headers={**signed.headers, name: draw(GARBAGE)}),
                replace(signed, headers={name: value[::-1] for name, value in signed.headers.items()}),
                stale,
                GOOD[kind]((MAX_BODY_KB * 1024 + over) * b"x", id_="large"),
                GOOD[kind](b'{"type": "\xff\xfe"}' + draw(st.binary(max_size=5)), id_="encoded"),
                GOOD[kind](body, id_=draw(st.sampled_from(["a.b", "é", "a b", 201 * "x", "a\tb"]))),
                Sent(body, {draw(st.sampled_from(sorted(push_.headers))): draw(GARBAGE)}),
                replace(push_, body=push_.body[:-1] + b" }"),
                push_.changed(
                    x_hub_signature_256=draw(st.sampled_from([digits[:-1], digits + "0", digits.upper(), ""]))
                ),
                push_.changed(webhook_signature=draw(GARBAGE)),
                standard(body, id_="for-bike-only", secret=NEWER_SECRET),
                mlflow(body, secret=GITHUB_SECRET),
            ]
        )
    )
    return found, "application/json"


@pytest.mark.timeout(360)
@pytest.mark.slow
def test_forgeries_are_refused(service: Running) -> None:
    """Two thousand forged, stale, unsigned, too large and wrongly encoded ones: all 4xx, none 5xx, none is kept."""
    statuses: Counter[int] = Counter()

    @settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(forgeries())
    def refuse(forgery: tuple[Sent, str | bytes | None]) -> None:
        status, _, _ = deliver_raw(service, *forgery)
        statuses[status] += 1
        assert 400 <= status < 500, forgery

    assert _new(service, refuse) == []
    assert {400, 401, 403, 413} >= set(statuses) >= {401, 403, 413}
    assert sum(statuses.values()) >= 2000


# The database


def _expect_unavailable(service: Running, sent: Sent) -> None:
    # It is told while the trouble lasts, so it does not wait for its end.
    status, headers, body = deliver_raw(service, sent)
    assert (status, json.loads(body)["type"]) == (503, "urn:perennial:problem:inbox-unavailable")
    assert int(headers["retry-after"]) >= 1


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for half a second where it would be four."""
    options = {**store.inbox._SERVER_OPTIONS, "options": "-c statement_timeout=500ms -c lock_timeout=500ms"}
    monkeypatch.setattr(store.inbox, "_SERVER_OPTIONS", options)
    monkeypatch.setattr(store.inbox, "WAIT_SECONDS", 0.5)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    "obstacle",
    [partial(locked, table="triggers"), away, partial(read_only, table="triggers")],
    ids=["locked", "away", "read-only"],
)
def test_a_database_that_is_away_is_no_lost_delivery(
    database: str, obstacle: Callable[[str], Any], tmp_path: Path
) -> None:
    """The sender is told to come again, nothing is half done, and when it comes again the delivery is kept once."""
    folder = project(tmp_path)
    with running(tmp_path, [], hooks=hook_settings(), root=folder, database_url=database) as service:
        assert deliver(service, standard(id_="msg_before"))[0] == 202
        sent = standard(id_="msg_meanwhile")
        with obstacle(database):
            for _ in range(2):
                _expect_unavailable(service, sent)
            assert service.request("GET", "/health/live").status_code == 200
        assert deliver(service, sent) == (
            202,
            {"status": "accepted", "id": "standard:ci:msg_meanwhile", "reason": "requested by ci"},
        )
        assert [found.id for found in _kept(service) if found.id.endswith("msg_meanwhile")] == [
            "standard:ci:msg_meanwhile"
        ]
    _empty(database)


def _empty(database: str) -> None:
    with open_database(database).begin() as connection:
        connection.execute(text("DELETE FROM triggers"))


def test_concurrent_deliveries_of_one_id_are_one(database: str, tmp_path: Path) -> None:
    """In either database, and one alone is told that it was the first."""
    with running(tmp_path, [], hooks=hook_settings(), root=project(tmp_path), database_url=database) as service:
        sent = standard(id_="msg_at_once")
        with ThreadPoolExecutor(50) as threads:
            answers = list(threads.map(lambda _: deliver(service, sent)[1]["status"], range(50)))
        assert Counter(answers) == {"accepted": 1, "known": 49}
        assert len(_kept(service)) == 1
    _empty(database)


def test_a_database_that_was_never_there(tmp_path: Path) -> None:
    """A cold start without it answers, and says that it cannot keep anything."""
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with running(tmp_path, [], hooks=hook_settings(), root=project(tmp_path), database_url=nowhere) as service:
        _expect_unavailable(service, standard())


def test_the_inbox_outlives_a_power_cut(tmp_path: Path) -> None:
    """On SQLite a transaction is on the disk before it is answered; elsewhere it need not be."""
    address = f"sqlite:///{tmp_path / 'perennial.db'}"
    pragma = text("PRAGMA synchronous")
    with store.inbox.open_inbox(address).connect() as inbox, open_database(address).connect() as other:
        assert (inbox.execute(pragma).scalar(), other.execute(pragma).scalar()) == (2, 1)
        assert inbox.execute(text("PRAGMA busy_timeout")).scalar() == 1000 * store.inbox.WAIT_SECONDS


def test_an_inbox_that_cannot_be_opened_says_so() -> None:
    """As the database does."""
    with pytest.raises(StorageError):
        store.inbox.open_inbox("postgresql://nobody@127.0.0.1:1/none")
