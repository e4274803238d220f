"""The page for people and its status document: what they tell, and that data cannot make them do anything."""

from __future__ import annotations

import asyncio
import doctest
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import serving.http.page
import serving.http.status
from serving.http.page import page_writer
from serving.http.service import DRAINING
from serving.http.status import (
    CheckAnswer,
    ColumnAnswer,
    DriftAnswer,
    LinksAnswer,
    LiveAnswer,
    LogAnswer,
    PerformanceAnswer,
    ReleaseAnswer,
    ServedAnswer,
    StatusAnswer,
    UnansweredAnswer,
    UnservedAnswer,
)
from serving.instance.state import DriftSummary, PerformanceSummary
from serving.telemetry.recent import SAMPLE_SECONDS
from tests.factories import make_project
from tests.pages import Elements
from tests.serving.http.browser import browser, needs_browser
from tests.serving.running import Example, Running, changed, make_key, running
from tests.serving.service_processes import ask, bodies, crown, register_version
from tests.serving.service_processes import serving as served_by_command

HOSTILE = (
    "</script><script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "<a href='javascript:alert(1)'>$x$</a>{{7*7}}{% raw %}",
    "' onclick='alert(1)' x='</main></title></style>",
    "bell\x07esc\x1b[31mrtl\u202e\u2066\u2028",
    "n" * 10_000 + "<b>",
)
LIVE_FIELDS = ("requests_per_second", "p50_ms")
NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
DRIFT = DriftSummary(
    status="drift",
    champion=1,
    n_rows=2000,
    measured_at="2026-05-04T09:30:00+00:00",
    importance_share=0.62,
    psi={"income": 0.41, "age": 0.07, "region": 0.03, "owner": 0.01, "a": 0.004, "b": 0.003},
    performance=[PerformanceSummary("estimated", "roc_auc", 0.731, 0.792)],
)


def _live(**changes: Any) -> LiveAnswer:
    given = {
        "seconds": 60.0,
        "requests": 600,
        "requests_per_second": 10.0,
        "p50_ms": 1.84,
        "p99_ms": 10_000.0,
        "client_error_share": 0.034,
        "server_error_share": 0.0001,
    }
    return LiveAnswer(**(given | changes))


def _model(**changes: Any) -> ServedAnswer:
    given: dict[str, Any] = {
        "model": "credit",
        "version": 3,
        "variant": "champion",
        "data_version": "d" * 32,
        "runtime": "onnx",
        "in_memory": True,
        "since": (NOW - timedelta(days=3)).isoformat(),
        "by": "rollback",
        "reason": "complaints",
        "trouble": None,
        "links": LinksAnswer(card=None, mlflow="http://127.0.0.1:5000/#/models/credit/versions/3", mlflow_after=None),
        "live": _live(),
        "drift": None,
    }
    return ServedAnswer(**(given | changes))


def _release(**changes: Any) -> ReleaseAnswer:
    given: dict[str, Any] = {
        "number": 2,
        "stage": "step",
        "share": 25,
        "version": 4,
        "other": 3,
        "since": (NOW - timedelta(hours=3)).isoformat(),
        "paused": False,
        "is_asked": True,
        "trouble": None,
        "checks": [],
        "reasons": [],
        "deadline": None,
    }
    return ReleaseAnswer(**(given | changes))


def _status(**changes: Any) -> StatusAnswer:
    given: dict[str, Any] = {
        "at": NOW.isoformat(timespec="milliseconds"),
        "status": "ok",
        "reason": None,
        "revision": "0" * 16,
        "log": LogAnswer(writable=True, mode="commit", reason=None),
        "models": [_model()],
        "unserved": [],
        "unanswered": UnansweredAnswer(requests=1203, requests_per_second=20.0, codes={"401": 3, "503": 1200}),
    }
    return StatusAnswer(**(given | changes))


def _rendered(status: StatusAnswer) -> str:
    return page_writer()[0](status)


def _hostile_status(word: str) -> StatusAnswer:
    performance = [PerformanceAnswer(kind="realised", metric=word, value=None, reference=1e12)]
    drift = DriftAnswer(
        status="drift",
        version=9,
        n_rows=1,
        measured_at=NOW.isoformat(),
        importance_share=1.0,
        n_columns=9,
        columns=[ColumnAnswer(column=word, psi=1e9), ColumnAnswer(column=word, psi=-1.0)],
        performance=performance,
    )
    checks = [CheckAnswer(name=word, state=word, sentence=word)]
    release = _release(trouble=word, reasons=[word], checks=checks)
    texts = dict.fromkeys(("model", "data_version", "by", "reason", "trouble"), word)
    links = LinksAnswer(card=f"/v1/models/{word}/card", mlflow=f"https://mlflow/{word}", mlflow_after=word)
    return _status(
        status="not ready",
        reason=word,
        log=LogAnswer(writable=False, mode="async", reason=word),
        models=[_model(**texts, links=links, drift=drift, release=release)],
        unserved=[UnservedAnswer(model=word, reason=word)],
    )


def test_a_release_is_shown() -> None:
    """Share, what it waits for and until when; before the first look the page says who looks."""
    new = _rendered(_status(models=[_model(release=_release())]))
    assert "25 % of the requests" in new
    assert "No look at this stage yet" in new
    assert "perennial release credit look" in new
    looked = _release(
        reasons=["waits for 7 more requests"], paused=True, deadline=(NOW + timedelta(days=3)).isoformat()
    )
    page = _rendered(_status(models=[_model(release=looked)]))
    assert "No look at this stage yet" not in page
    for said in ("paused, 25 % of the requests", "waits for 7 more requests", "Deadline of the stage: 7 May 2026"):
        assert said in page


def test_examples() -> None:
    """The examples in the docstrings hold."""
    assert doctest.testmod(serving.http.page).failed == doctest.testmod(serving.http.status).failed == 0


@pytest.mark.parametrize("word", HOSTILE, ids=["script", "img", "link", "attribute", "unseen", "long"])
def test_no_word_of_data_reaches_the_page_as_markup(word: str) -> None:
    """A page of attacks has the elements and attributes of a page without; what cannot be seen is written out."""
    page = _rendered(_hostile_status(word))
    harmless = _rendered(_hostile_status("x"))
    found, expected = Elements(page), Elements(harmless)
    assert found.tags == expected.tags
    assert [name for name, _ in found.attributes] == [name for name, _ in expected.attributes]
    assert page.count("<") == harmless.count("<")
    links = {value for name, value in found.attributes if name in ("href", "src")}
    assert not [link for link in links if (link or "").lower().startswith("javascript")]
    assert len(page) < 80_000


def test_what_cannot_be_seen_is_written_out() -> None:
    """Controls and marks that turn the direction of text are escapes."""
    status = _hostile_status(HOSTILE[4])
    page = _rendered(status.model_copy(update={"models": [_model(reason=HOSTILE[4], model=HOSTILE[4])]}))
    assert not [sign for sign in "\x07\x1b\u202e\u2066\u2028" if sign in page]
    assert r"bell\x07esc\x1b[31mrtl\u202e\u2066\u2028" in page


def test_a_page_tells_all_there_is() -> None:
    """Version, since when, by what and why; live numbers, drift, performance, trouble, and where to read on."""
    drift = DriftAnswer(
        status="watch",
        version=2,
        n_rows=2000,
        measured_at=(NOW - timedelta(hours=3)).isoformat(),
        importance_share=0.62,
        n_columns=7,
        columns=[ColumnAnswer(column="income", psi=0.41)],
        performance=[PerformanceAnswer(kind="realised", metric="roc_auc", value=0.7312, reference=0.7924)],
    )
    links = LinksAnswer(card="/v1/models/credit/card", mlflow="http://127.0.0.1:5000/#/x", mlflow_after="perennial ui")
    page = _rendered(_status(status="trouble", models=[_model(drift=drift, trouble="another hash", links=links)]))
    text = Elements(page).text
    for told in (
        "▲ problems",
        "▲ version 3 in production",
        "Since 1 May 2026, 12:30 UTC ( 3 days ago ) , restored by a rollback: complaints",
        "A newer champion is not served: another hash",
        "latency, p50 1.8 ms latency, p99 ≥ 10 s failed (5xx) < 0.1% refused (4xx) 3.4%",
        "requests 10.0/s",
        "last minute: 3 × 401, 1,200 × 503",
        "Drift of the last window ▲ watch",
        "Columns with 62% of the feature importance drifted, on 2,000 rows.",
        "4 May 2026, 09:30 UTC ( 3 h ago ) , when version 2 was in production",
        "income 0.410",
        "roc_auc, realised 0.731 0.792",
        "prediction log: ✓ can be written (commit)",
        "start it with: perennial ui",
    ):
        assert told in text
    assert 'href="v1/models/credit/card"' in page


def test_a_page_of_the_first_seconds_makes_no_number_up() -> None:
    """Dashes, not noughts; and no alert without a failure."""
    page = _rendered(_status(models=[_model(live=None)], unanswered=None))
    assert page.count(">–<") == 6
    assert 'class="alert"' not in page
    assert 'class="alert"' in _rendered(_status())


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (_status(models=[], status="not ready", reason="no champion is known yet"), "perennial train MODEL"),
        (
            _status(models=[], unserved=[UnservedAnswer(model="credit", reason="another hash")], status="not ready"),
            "credit is not served: another hash",
        ),
        (
            _status(log=LogAnswer(writable=False, mode="commit", reason="disk full"), status="trouble"),
            "Predictions cannot be logged: disk full",
        ),
        (_status(status="not ready", reason=DRAINING), f"… not ready: {DRAINING}"),
    ],
)
def test_a_page_says_what_is_wrong(status: StatusAnswer, told: str) -> None:
    """Without models, with one that cannot be served, without its log, and at the end."""
    assert told in Elements(_rendered(status)).text


@pytest.fixture(scope="module")
def example(examples: dict[str, Example]) -> Example:
    """Return a model with a card, a drifted window and a newer champion that is not served."""
    found = examples["credit"]
    state = changed(found.state, drift=DRIFT, trouble=HOSTILE[0], reason=HOSTILE[1], since=NOW.isoformat())
    return Example(state, found.frame, found.contract)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, example: Example) -> Iterator[Running]:
    """Serve that model in a thread."""
    with running(tmp_path_factory.mktemp("service"), [example.state]) as found:
        yield found


def test_the_status_is_what_the_worker_holds(service: Running) -> None:
    """Status and page are never from a cache, and both say what the state says."""
    answer = service.request("GET", "/v1/status")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    found = StatusAnswer.model_validate(answer.json())
    model = found.models[0]
    assert (found.status, found.log.writable, model.version, model.runtime) == ("trouble", True, 1, "onnx")
    assert (model.trouble, model.reason) == HOSTILE[:2]
    assert model.drift is not None
    assert [column.column for column in model.drift.columns] == ["income", "age", "region", "owner", "a"]
    assert model.drift.n_columns == 6
    assert model.links.mlflow_after == "perennial ui"
    assert service.request("GET", model.links.card or "").status_code == 200


def test_the_page_may_run_its_own_script_and_nothing_else(service: Running) -> None:
    """The policy names no source but the hashes of what is in the page; nobody may frame it or keep it."""
    answer = service.request("GET", "/")
    policy = answer.headers["content-security-policy"]
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-\S{44}'; style-src 'sha256-\S{44}'; connect-src 'self'; "
        r"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        policy,
    )
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name, _ in Elements(answer.text).attributes if name == "style" or name.startswith("on")]


def test_page_and_status_are_for_operators(tmp_path: Path, example: Example) -> None:
    """A key for predictions does not open them; the status is in the document of all paths."""
    (shop, shop_text), (ops, ops_text) = make_key("predict"), make_key("operate", "predict")
    with running(tmp_path, [example.state], keys=[shop, ops], access="required") as service:
        for path in ("/", "/v1/status"):
            codes = [service.request("GET", path, key=key).status_code for key in (None, shop_text, ops_text)]
            assert codes == [401, 403, 200]
        schema = service.request("GET", "/openapi.json", key=ops_text).json()
        answer = schema["paths"]["/v1/status"]["get"]["responses"]["200"]["content"]["application/json"]
        assert answer["schema"]["$ref"].endswith("/StatusAnswer")


def test_a_model_without_a_version_is_told(tmp_path: Path, example: Example) -> None:
    """A bundle that this worker cannot load is trouble, beside the version before it and without one."""
    wrong = changed(example.state, version=2, manifest="0" * 64, trouble=None)
    with running(tmp_path, [wrong]) as service:
        found = StatusAnswer.model_validate(service.request("GET", "/v1/status").json())
        assert (found.status, found.models, found.unserved[0].model) == ("not ready", [], "credit")
        service.publish([changed(example.state, trouble=None)])
        service.publish([wrong])
        found = StatusAnswer.model_validate(service.request("GET", "/v1/status").json())
        assert (found.status, found.unserved, found.models[0].version) == ("trouble", [], 1)
        assert "could not load the bundle of version 2" in (found.models[0].trouble or "")


@needs_browser
def test_a_browser_runs_nothing_of_the_data(tmp_path: Path, service: Running, example: Example) -> None:
    """The page's policy refuses nothing that is ours; an attack is text; a change of the state comes by itself."""
    with browser(tmp_path / "profile") as page:
        page.open(service.url)
        assert page.eval("document.title") == "Perennial: ▲ problems"
        assert "</script><script>document.title='pwned'" in page.eval("document.body.innerText")
        service.publish([changed(example.state, trouble=None)])
        page.await_that("document.getElementById('overall').textContent === '✓ no problems'")
        assert page.eval("document.getElementById('news').textContent") == "The page has changed: ✓ no problems."
        assert page.eval("getComputedStyle(document.querySelector('.tiles')).display") == "grid"
        assert page.console == []
        # What got into the page all the same would not run.
        page.eval("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
        page.await_that("document.images.length === 1")
        assert page.eval("document.title") == "Perennial: ✓ no problems"
        assert "violates the following Content Security Policy" in "".join(page.console)
    service.publish([example.state])


@needs_browser
def test_a_browser_says_that_the_service_is_gone(tmp_path: Path, example: Example) -> None:
    """Numbers that are old are said to be, in words and to a screen reader."""
    with browser(tmp_path / "profile") as page:
        with running(tmp_path, [example.state]) as service:
            page.open(service.url)
            assert page.eval("document.getElementById('clock').textContent").startswith("live, ")
        page.await_that("document.getElementById('clock').textContent.startsWith('▲ no answer; the numbers are from ')")
        assert page.eval("document.getElementById('news').textContent").startswith("The service does not answer.")


@pytest.mark.e2e
@needs_browser
def test_the_numbers_of_two_workers_change_before_ones_eyes(tmp_path: Path) -> None:
    """Over the real command: what both workers answered is in every refresh, and the browser complains of nothing."""
    settings = make_project(tmp_path)
    crown(settings, register_version(settings, "a", 1.0))
    with served_by_command(settings, "--workers", "2") as served:
        served.await_workers(2)
        time.sleep(SAMPLE_SECONDS + 1)
        with browser(tmp_path / "profile") as page:
            page.open(f"http://127.0.0.1:{served.port}/")
            rate, p50 = (f"document.querySelector('[data-live={field}]').textContent" for field in LIVE_FIELDS)
            assert (page.eval(rate), page.eval(p50)) == ("0/s", "–")
            _ask_each(served.port, bodies())
            page.await_that(f"{rate} !== '0/s' && {p50} !== '–'")
            shown = page.eval(rate)
            assert re.fullmatch(r"\d\.\d\d/s", shown)
            page.await_that(f"{rate} !== {shown!r}")
            assert page.eval("document.getElementById('refused').textContent") == "none"
        assert page.console == []
        assert _counted_by_whoever_answers(served.port) == {len(bodies())}


def _ask_each(port: int, texts: list[bytes]) -> None:
    for text in texts:
        assert asyncio.run(ask(port, "POST", "/v1/models/credit/predict", text))[0] == 200


def _counted_by_whoever_answers(port: int) -> set[int]:
    answers = [asyncio.run(ask(port, "GET", "/v1/status"))[2] for _ in range(20)]
    found = [StatusAnswer.model_validate_json(answer).models[0].live for answer in answers]
    return {live.requests for live in found if live is not None}
