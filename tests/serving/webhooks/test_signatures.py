"""Who signed a delivery, and what it asks for: nothing is believed that is not signed."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import HookKey, HookSettings
from serving.problems import Problem
from serving.webhooks.signatures import (
    HEADERS,
    MAX_TEXT,
    Request,
    Signed,
    UnsignedError,
    convention_of,
    requested,
    signed_by,
)
from tests.serving.deliveries import (
    GITHUB_SECRET,
    MLFLOW_SECRET,
    NEWER_SECRET,
    STANDARD_SECRET,
    Sent,
    github,
    hook_settings,
    mlflow,
    push,
    registry,
    standard,
)

THEN = 1614265330.0
KEYS = hook_settings().keys


def _raw(sent: Sent) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), v if isinstance(v, bytes) else v.encode()) for name, v in sent.headers.items()]


def _signed(sent: Sent, keys: tuple[HookKey, ...] = KEYS, *, model: str = "credit", now: float | None = None) -> Signed:
    moment = datetime.now(UTC).timestamp() if now is None else now
    return signed_by(_raw(sent), sent.body, keys, model, moment)


def _asked(sent: Sent, model: str = "credit") -> Request:
    return requested(_signed(sent), sent.body, model)


@pytest.fixture
def _then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the library's clock to the moment of its test vector."""

    class Then:
        fromtimestamp = datetime.fromtimestamp

        @staticmethod
        def now(tz: tzinfo | None = None) -> datetime:
            return datetime.fromtimestamp(THEN, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Then)


VECTOR = Sent(
    b'{"test": 2432232314}',
    {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
)


@pytest.mark.usefixtures("_then")
def test_the_vector_of_the_specification_is_verified() -> None:
    """What every implementation of Standard Webhooks has to verify."""
    found = _signed(VECTOR, now=THEN)
    assert (found.convention, found.sender) == ("standard", "ci")
    assert found.trigger_id == "standard:ci:msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.usefixtures("_then")
@pytest.mark.parametrize("signature", [
    "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5 v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== "
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
])  # fmt: skip
def test_one_good_signature_of_several_is_enough(signature: str) -> None:
    """A sender that replaces its secret signs with both; kinds of signatures that we do not know are passed over."""
    assert _signed(VECTOR.changed(webhook_signature=signature), now=THEN).sender == "ci"


def test_the_vector_of_github_is_verified() -> None:
    """The values that GitHub's documentation lets one check an implementation with."""
    key = HookKey("github", "gh", "credit", b"It's a Secret to Everybody")
    value = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    found = _signed(Sent(b"Hello, World!", {"x-hub-signature-256": value}), (key,))
    assert found.trigger_id == "github:gh:dffd6021bb2bd5b0af676290809ec3a53191dd81c7f70a4b28688a362182986f"


def test_mlflow_signs_with_the_secret_itself() -> None:
    """And not with what its base64 stands for."""
    assert _signed(mlflow(b"{}")).trigger_id == "mlflow:registry:d1"


def _now() -> float:
    return float(int(datetime.now(UTC).timestamp()))


@pytest.mark.parametrize("age", [-290, 0, 290])
@pytest.mark.parametrize("sign", [standard, mlflow])
def test_clocks_may_differ_by_five_minutes(sign: Any, age: float) -> None:
    """Of the sender and of ours."""
    assert _signed(sign(b"{}", at=_now() - age)).id


@pytest.mark.parametrize("age", [-310, 310, 10**9])
@pytest.mark.parametrize("sign", [standard, mlflow])
def test_an_old_delivery_is_refused(sign: Any, age: float) -> None:
    """And one from the future, which could be sent until then."""
    with pytest.raises(UnsignedError, match="more than five minutes"):
        _signed(sign(b"{}", at=max(0, _now() - age)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"webhook_signature": None}, "expected one signature"),
        ({"webhook_signature": ""}, "no known key gives"),
        ({"webhook_signature": "v1"}, "no known key gives"),
        ({"webhook_signature": "v1,"}, "no known key gives"),
        ({"webhook_signature": "v1,*"}, "no known key gives"),
        ({"webhook_signature": "v1,a,b"}, "no known key gives"),
        ({"webhook_signature": "v1," + 43 * "A" + "="}, "no known key gives"),
        ({"webhook_signature": "v1,é"}, "must be sent once, as ASCII"),
        ({"webhook_signature": "v1,A " * 500}, "at most 1024 bytes"),
        ({"webhook_id": None}, "webhook-id"),
        ({"webhook_id": ""}, "webhook-id"),
        ({"webhook_id": "a.b"}, "no dot"),
        ({"webhook_id": "a b"}, "webhook-id"),
        ({"webhook_id": "a\x00b"}, "webhook-id"),
        ({"webhook_id": "msg_é"}, "must be sent once, as ASCII"),
        ({"webhook_id": 201 * "a"}, "1 to 200"),
        ({"webhook_id": "msg_2"}, "no known key gives"),
        ({"webhook_timestamp": None}, "seconds since 1970"),
        ({"webhook_timestamp": ""}, "seconds since 1970"),
        ({"webhook_timestamp": "nan"}, "seconds since 1970"),
        ({"webhook_timestamp": "1e9"}, "seconds since 1970"),
        ({"webhook_timestamp": "-1"}, "seconds since 1970"),
        ({"webhook_timestamp": "1_614_265_330"}, "seconds since 1970"),
        ({"webhook_timestamp": 13 * "9"}, "seconds since 1970"),
        ({"webhook_timestamp": 12 * "9"}, "five minutes"),
        ({"webhook_timestamp": "2026-01-01T00:00:00Z"}, "seconds since 1970"),
        ({"x_mlflow_signature": "v1,A"}, "expected one signature"),
    ],
    ids=str,
)  # fmt: skip
def test_a_malformed_header_is_refused(changes: dict[str, Any], message: str) -> None:
    """Whatever the library would make of it."""
    with pytest.raises(UnsignedError, match=message):
        _signed(standard(id_="msg_1").changed(**changes))


def test_an_id_with_a_dot_is_refused_though_it_is_signed() -> None:
    """What is signed could be read as another id with another timestamp."""
    with pytest.raises(UnsignedError, match="no dot"):
        _signed(standard(id_="msg.1"))


@pytest.mark.parametrize(
    "value",
    ["", "sha256=", "sha1=" + 40 * "0", "sha256=" + 64 * "0", "sha256=" + 64 * "é", 64 * "0", "SHA256=" + 64 * "0"],
)
def test_a_bad_signature_of_github_is_refused(value: str) -> None:
    """Another form, another hash, or none."""
    with pytest.raises(UnsignedError) as caught:
        _signed(github(push("data.dvc")).changed(x_hub_signature_256=value))
    assert caught.value.is_guess


def test_a_header_that_is_there_twice_is_refused() -> None:
    """Whoever reads the first and whoever reads the last would see two deliveries."""
    sent = standard()
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        twice = [*_raw(sent), (name.encode(), b"1")]
        with pytest.raises(UnsignedError, match="must be sent once"):
            signed_by(twice, sent.body, KEYS, "credit", _now())


def test_a_body_that_is_not_text_is_refused() -> None:
    """Standard Webhooks signs text."""
    with pytest.raises(UnsignedError, match="not UTF-8"):
        _signed(standard(b"\xff\xfe"))


def test_only_bad_signatures_are_guesses() -> None:
    """Who has no signature, or comes where no key could fit, is not counted as one who guesses."""
    with pytest.raises(UnsignedError) as unsigned:
        _signed(Sent(b"{}"))
    with pytest.raises(UnsignedError, match="no key of the convention") as nobody:
        _signed(standard(), ())
    with pytest.raises(UnsignedError) as forged:
        _signed(standard(secret=NEWER_SECRET.replace("A", "B")))
    assert (unsigned.value.is_guess, nobody.value.is_guess, forged.value.is_guess) == (False, False, True)


def test_two_keys_of_a_sender_are_accepted() -> None:
    """So a secret is replaced while deliveries come: the new one is added, and later the old one taken away."""
    both = hook_settings(standard=f"ci/credit={STANDARD_SECRET},ci/credit={NEWER_SECRET}").keys
    assert {_signed(standard(secret=secret), both).sender for secret in (STANDARD_SECRET, NEWER_SECRET)} == {"ci"}
    with pytest.raises(UnsignedError):
        _signed(standard(), hook_settings(standard=f"ci={NEWER_SECRET}").keys)


def test_a_key_for_one_model_asks_for_no_other() -> None:
    """It is known, and refused."""
    assert _signed(standard(secret=NEWER_SECRET), model="bike").sender == "other"
    with pytest.raises(Problem, match="'other' is for another model") as caught:
        _signed(standard(secret=NEWER_SECRET))
    assert caught.value.status == 403


SEVERAL = {
    "all models": f"ci={STANDARD_SECRET}",
    "two models": f"a/bike={STANDARD_SECRET} b/credit={STANDARD_SECRET}",
    "all models and one": f"ci/credit={STANDARD_SECRET} ci={STANDARD_SECRET}",
}


@pytest.mark.parametrize("listed", SEVERAL)
@pytest.mark.parametrize(
    "id_", ["msg_1", "credit", "credit_1", "Credit:1", "credits:1", "credit-2:1", ":credit:1", "bike:credit:1"]
)
def test_a_key_for_several_models_needs_an_id_that_begins_with_the_model(listed: str, id_: str) -> None:
    """Otherwise the same delivery could be sent to each of them."""
    keys = hook_settings(standard=SEVERAL[listed]).keys
    assert _signed(standard(id_=f"credit:{id_}"), keys).is_bound
    with pytest.raises(Problem, match="not bound to 'credit': begin its id with 'credit:'") as caught:
        _signed(standard(id_=id_), keys)
    assert caught.value.status == 403


def test_github_needs_a_key_for_the_model() -> None:
    """It signs nothing that could name one, and its first delivery says so."""
    keys = hook_settings(github=f"repo={GITHUB_SECRET}").keys
    for sent in (github(push("data.dvc")), github(b'{"zen": "x"}', event="ping")):
        with pytest.raises(Problem, match="list the key as repo/credit=") as caught:
            _signed(sent, keys)
        assert caught.value.status == 403


def test_mlflow_with_a_key_for_several_models_must_be_about_the_model() -> None:
    """News of another registered model retrain one only by a key for that one."""
    keys = hook_settings(mlflow=f"registry={MLFLOW_SECRET}").keys
    wish = mlflow(registry("model_version_alias", "created", name="credit", version="3", alias="retrain"))
    assert not requested(_signed(wish, keys), wish.body, "credit").ignored
    with pytest.raises(Problem, match="about another registered model; list a key as registry/bike="):
        requested(_signed(wish, keys, model="bike"), wish.body, "bike")
    assert not requested(_signed(wish), wish.body, "bike").ignored


MODELS = ("credit", "bike")


@settings(max_examples=300, deadline=None)
@given(
    listed=st.lists(st.tuples(st.sampled_from(["", "/credit", "/bike"]), st.booleans()), min_size=1, max_size=4),
    id_=st.sampled_from(["msg_1", "credit:1", "bike:1", "credit:bike:1", ":", "credit"]),
    name=st.sampled_from([*MODELS, "embeddings"]),
    convention=st.sampled_from(["standard", "github", "mlflow"]),
)
def test_no_delivery_is_accepted_for_two_models(
    listed: list[tuple[str, bool]], id_: str, name: str, convention: str
) -> None:
    """However the keys are listed."""
    secrets = {"standard": (STANDARD_SECRET, NEWER_SECRET)}.get(convention, (GITHUB_SECRET, MLFLOW_SECRET))
    text = " ".join(f"s{model}={secrets[is_other]}" for model, is_other in listed)
    keys = HookSettings.model_validate({convention: text}).keys
    event = registry("model_version_alias", "created", name=name, version="3", alias="retrain")
    sent = {
        "standard": standard(id_=id_),
        "github": github(push("data.dvc"), secret=GITHUB_SECRET),
        "mlflow": mlflow(event, secret=GITHUB_SECRET),
    }[convention]
    accepted = []
    for model in MODELS:
        with suppress(Problem, UnsignedError):
            found = requested(_signed(sent, keys, model=model), sent.body, model)
            accepted += [] if found.ignored else [model]
    assert len(accepted) <= 1


def _dated(pushed_at: object) -> bytes:
    repository = {"full_name": "bank/scores", "default_branch": "main", "pushed_at": pushed_at}
    return push("data.dvc", repository=repository)


@pytest.mark.parametrize(
    "pushed_at", [1_700_000_000, 0, "2023-11-14T22:13:20Z", "2023-11-14 22:13:20", "0001-01-01T00:00:00+23:00"]
)
def test_an_old_push_is_refused(pushed_at: object) -> None:
    """By the time in its body, which the signature covers; a ping or a push of other files is only ignored."""
    sent = github(_dated(pushed_at))
    with pytest.raises(Problem, match="is too old; push again") as caught:
        requested(_signed(sent), sent.body, "credit", oldest=1_700_000_001)
    assert caught.value.status == 401
    assert requested(_signed(sent), sent.body, "credit", oldest=0).reason.startswith("ada changed data.dvc")
    other = github(push("README.md", repository={"pushed_at": pushed_at}))
    assert requested(_signed(other), other.body, "credit", oldest=1_700_000_001).ignored


@pytest.mark.parametrize(
    "pushed_at",
    [
        1_700_000_001,
        1_800_000_000,
        "2023-11-14T22:13:21Z",
        None,
        "yesterday",
        "",
        True,
        -5,
        1e300,
        10**30,
        [1],
        {"a": 1},
    ],
)
def test_a_push_without_an_old_time_is_accepted(pushed_at: object) -> None:
    """Gitea and Forgejo send none."""
    sent = github(_dated(pushed_at))
    assert not requested(_signed(sent), sent.body, "credit", oldest=1_700_000_001).ignored


def test_only_pushes_are_dated_by_their_body() -> None:
    """Other conventions sign a timestamp."""
    body = b'{"repository": {"pushed_at": 1}}'
    assert not requested(_signed(standard(body)), body, "credit", oldest=_now()).ignored


def test_keys_of_one_convention_sign_in_no_other() -> None:
    """The same secret in two places would otherwise be one key for both."""
    keys = (HookKey("github", "gh", "", MLFLOW_SECRET.encode()),)
    with pytest.raises(UnsignedError, match="no key of the convention"):
        _signed(mlflow(b"{}"), keys)


ANY_HEADERS = st.lists(st.tuples(st.sampled_from(sorted(HEADERS)).map(str.encode), st.binary(max_size=80)), max_size=8)


@settings(max_examples=500, deadline=None)
@given(ANY_HEADERS, st.binary(max_size=60))
def test_any_bytes_are_refused(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """As unsigned, and never by another error."""
    with pytest.raises(UnsignedError):
        signed_by(headers, body, KEYS, "credit", _now())
    assert convention_of(headers) in ("standard", "github", "mlflow", "unknown")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["ref", "repository", "commits", "data", "name", "alias", "version", "type", "added"]),
            inner,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["standard", "github", "mlflow"]), JSON_VALUES)
def test_any_json_is_read(convention: str, content: Any) -> None:
    """As a request, or as nothing; what is kept of it stays small."""
    signed = Signed(convention, "s", "1", {"webhook-timestamp": "1", "x-github-event": "push"})
    with suppress(Problem):
        found = requested(signed, json.dumps(content).encode(), "credit")
        assert len(json.dumps(found.document)) < 8000
        assert found.reason.isprintable()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "requested by ci"),
        (b"{}", "requested by ci"),
        (b'{"type": "labels.arrived"}', "labels.arrived"),
        (b'{"type": "x", "data": {"reason": "new labels"}}', "new labels"),
        (b'{"reason": "because\\n\\u0000\\u202e<b>"}', "because<b>"),
        (b'{"data": [1]}', "requested by ci"),
        (json.dumps({"reason": 5000 * "x"}).encode(), MAX_TEXT * "x"),
    ],
)  # fmt: skip
def test_a_standard_delivery_is_a_request(body: bytes, reason: str) -> None:
    """Its reason is one line that can be printed."""
    found = _asked(standard(body))
    assert (found.ignored, found.reason) == (False, reason)
    assert found.document["convention"] == "standard"


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[]", "invalid-request"), (b"1", "invalid-request"), (b"{", "invalid-json")]
)
def test_a_body_that_is_no_object_is_refused(body: bytes, kind: str) -> None:
    """Though it is signed."""
    with pytest.raises(Problem) as caught:
        _asked(standard(body))
    assert caught.value.kind == kind


def test_deep_json_is_refused() -> None:
    """However deep it is."""
    body = 100_000 * b"[" + 100_000 * b"]"
    with pytest.raises(Problem):
        _asked(standard(body))


@pytest.mark.parametrize("path", ["data.dvc", "scores/data.dvc"])
@pytest.mark.parametrize("kind", ["added", "modified", "removed"])
def test_a_push_that_changes_the_data_is_a_request(path: str, kind: str) -> None:
    """In whichever of its commits; who pushed and what is kept, and the names of other files are not."""
    commits = [{"added": ["secret-plan.txt"]}, {kind: [path]}, {"modified": ["x"]}]
    found = _asked(github(push(commits=commits)))
    assert found.reason == "ada changed data.dvc in bank/scores (bbbbbbb)"
    assert found.document["after"] == 40 * "b"
    assert "secret-plan" not in json.dumps(found.document)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (github(b'{"zen": "-", "hook_id": 1}', event="ping"), "the event ping is ignored"),
        (github(push("data.dvc"), event="issues"), "the event issues"),
        (github(push("README.md")), "no commit of the push changes data.dvc"),
        (github(push("data.dvc.md", "xdata.dvc", "data.dvc/x")), "no commit"),
        (github(push("data.dvc", ref="refs/heads/try")), "only pushes to the default branch main count"),
        (github(push("data.dvc", ref="refs/tags/v1")), "only pushes to the default branch main count"),
        (github(push("data.dvc", deleted=True)), "was deleted"),
        (github(b"{}"), "no commit"),
        (github(b'{"commits": [1, {"added": "data.dvc"}], "head_commit": []}'), "no commit"),
    ],
)  # fmt: skip
def test_other_events_and_pushes_ask_for_nothing(sent: Sent, reason: str) -> None:
    """The answer says why."""
    found = _asked(sent)
    assert found.ignored
    assert reason in found.reason


@pytest.mark.parametrize(
    ("commits", "more"),
    [(20, {}), (2048, {}), (5, {"total_commits": 6}), (3, {"size": 30})],
)  # fmt: skip
def test_a_push_with_more_commits_than_are_listed_is_a_request(commits: int, more: dict[str, Any]) -> None:
    """What is not listed may have changed the data; where it has not, the run finds that and trains nothing."""
    body = push(commits=commits * [{"modified": ["x"]}], head_commit=None, **more)
    assert "may have changed" in _asked(github(body)).reason


def test_a_push_is_known_by_its_body() -> None:
    """The header with the delivery's id is not signed, so it names nothing."""
    body = push("data.dvc")
    one, other = _signed(github(body)), _signed(github(body, delivery="another", event="ping"))
    assert one.trigger_id == other.trigger_id
    assert one.trigger_id != _signed(github(body + b" ")).trigger_id


ABOUT_US = {"name": "credit", "version": "3"}


@pytest.mark.parametrize(
    ("body", "ignored"),
    [
        (registry("model_version", "created", **ABOUT_US), True),
        (registry("registered_model", "created", name="credit"), True),
        (registry("model_version_tag", "set", **ABOUT_US, key="gate", value="passed"), True),
        (registry("model_version_alias", "created", **ABOUT_US, alias="champion"), True),
        (registry("model_version_alias", "deleted", name="credit", alias="retrain"), True),
        (registry("model_version_tag", "set", **ABOUT_US, key="retrain", value="1"), True),
        (registry("model_version_alias", "created", **ABOUT_US, alias="retrain"), False),
        (registry("model_version", "created", name="embeddings", version="7"), False),
        (registry("model_version_alias", "created", name="embeddings", version=7, alias="champion"), False),
        (registry("model_version", "created", name="example_model", version="1"), True),
        (registry("prompt", "created", name="embeddings"), True),
        (registry("budget_policy", "exceeded"), True),
        (b"{}", True),
        (b'{"entity": "model_version", "data": [1]}', True),
    ],
)  # fmt: skip
def test_what_the_registry_tells(body: bytes, ignored: bool) -> None:
    """Events of the model's own registration are ignored; other models and the alias request a retraining."""
    assert _asked(mlflow(body)).ignored is ignored


def test_what_is_kept_of_a_registrys_delivery() -> None:
    """Which model, which version, what happened."""
    found = _asked(mlflow(registry("model_version_alias", "created", name="embeddings", version="7", alias="champion")))
    assert found.reason == "the alias 'champion' was created for version 7 of embeddings"
    assert (found.document["name"], found.document["version"]) == ("embeddings", "7")


def test_no_key_shows_its_secret() -> None:
    """In no trace and in no log."""
    settings = HookSettings(**hook_settings().to_dict())
    assert GITHUB_SECRET not in repr(settings) + repr(settings.keys) + str(settings)
