"""Nobody gets further than a key or a token says, and nobody guesses one."""

from __future__ import annotations

import asyncio
import base64
import hmac
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc.util import json_b64encode, urlsafe_b64encode

from config.settings import ServingSettings
from core.errors import ConfigError
from serving.access.access import MAX_REMEMBERED, Access, check_scope, refuse_unprotected
from serving.access.callers import ANYONE, Caller
from serving.access.jwks import JwksFollower
from serving.access.rates import SharedRates
from serving.problems import Problem
from store.key_text import ApiKey, new_key
from tests.serving.access.issuer import AUDIENCE, ISSUER, NOW, claims, jwks, publishing, signing_key, token

ROOT = Path(__file__).resolve().parents[3]
HERE = "192.0.2.1"
AT = datetime.fromtimestamp(NOW, UTC)


class Gate:
    """Access on a clock that stands until it is moved."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.now = NOW
        settings = {"access": "required", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE} | given
        refresh = settings.pop("refresh", None)
        self.rates = SharedRates(folder / "rates", 4096, clock=lambda: self.now)
        self.access = Access(ServingSettings(**settings), self.rates, clock=lambda: self.now, refresh=refresh)
        self.access.replace_jwks(jwks())
        self.access.replace_keys([])

    def ask(self, header: str | bytes | None, address: str = HERE) -> Caller:
        """Return who sends a header."""
        return asyncio.run(self.access.caller(header, address))

    def refusal(self, header: str | bytes | None, address: str = HERE) -> Problem:
        """Return how a header is refused."""
        with pytest.raises(Problem) as caught:
            self.ask(header, address)
        return caught.value

    def give(self, *scopes: str, models: tuple[str, ...] = (), **changes: Any) -> tuple[ApiKey, str]:
        """Return a key that is accepted, and the header it is sent in."""
        key, text = new_key("shop", scopes or ("predict",), models, None, AT, None)
        key = replace(key, **changes)
        self.access.replace_keys([*self.access._keys.values(), key])
        return key, f"Bearer {text}"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Return access to a service that asks for credentials."""
    gate = Gate(tmp_path)
    yield gate
    gate.rates.close()


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def _retry_after(problem: Problem) -> int:
    return int(dict(problem.headers)[b"retry-after"])


def test_a_key_opens(gate: Gate) -> None:
    """It stands for its owner, with its scopes for its models."""
    key, header = gate.give("predict", "label", models=("credit",))
    caller = gate.ask(header)
    assert (caller.name, caller.id) == ("shop", f"key:{key.id}")
    assert caller.may("predict", "credit")
    assert not caller.may("predict", "bike")
    assert not caller.may("predict")
    assert not caller.may("operate", "credit")


def test_a_browser_sends_a_key_as_its_password(gate: Gate) -> None:
    """Any name goes with it."""
    _, header = gate.give("operate")
    text = header.removeprefix("Bearer ")
    assert gate.ask(_basic(f"anything:{text}")).name == gate.ask(_basic(f":{text}").encode()).name == "shop"


def test_a_header_is_known_once_it_was_verified(gate: Gate) -> None:
    """The fast way knows nothing by itself: it repeats what the slow one found."""
    _, header = gate.give()
    assert gate.access.known(header.encode()) is None
    caller = gate.ask(header)
    assert gate.access.known(header.encode()) is caller


def test_schemes_are_read_without_regard_to_case(gate: Gate) -> None:
    """As RFC 9110 says."""
    _, header = gate.give()
    assert gate.ask(header.replace("Bearer", "bEARER ")).name == "shop"


def test_a_revoked_key_is_refused_at_once(gate: Gate) -> None:
    """Also where it was verified a moment ago."""
    key, header = gate.give()
    gate.ask(header)
    gate.access.replace_keys([replace(key, revoked_at=AT)])
    assert gate.access.known(header.encode()) is None
    assert gate.refusal(header).kind == "unauthenticated"


def test_a_changed_key_is_read_anew_and_the_others_are_still_known(gate: Gate) -> None:
    """A state that is published every second costs nobody what was verified."""
    key, header = gate.give()
    _, other = gate.give()
    gate.ask(header)
    gate.ask(other)
    others = [kept for kept in gate.access._keys.values() if kept.id != key.id]
    gate.access.replace_keys([*others, replace(key, scopes=("label",))])
    assert gate.access.known(header.encode()) is None
    assert gate.access.known(other.encode()) is not None
    assert not gate.ask(header).may("predict")


def test_a_key_ends_when_it_should(gate: Gate) -> None:
    """While it is known, too."""
    _, header = gate.give(expires_at=AT + timedelta(seconds=60))
    gate.ask(header)
    gate.now += 59
    assert gate.access.known(header.encode())
    gate.now += 1
    assert gate.access.known(header.encode()) is None
    assert "expired" in gate.refusal(header).detail


def test_a_refusal_says_how_to_come_in(gate: Gate) -> None:
    """With the challenge that makes a browser ask for a password."""
    for header in (None, b"", "  "):
        problem = gate.refusal(header)
        assert problem.status == 401
        assert dict(problem.headers)[b"www-authenticate"] == b'Bearer, Basic realm="perennial"'


def test_an_open_service_asks_for_nothing_and_still_refuses_what_is_wrong(tmp_path: Path) -> None:
    """A client that sends a wrong key learns it here, and not in production."""
    gate = Gate(tmp_path, access="open")
    assert gate.ask(None) is ANYONE
    assert all(ANYONE.may(scope) for scope in ("predict", "label", "operate"))
    assert gate.refusal("Bearer pk_nothing").status == 401
    _, header = gate.give("label")
    assert gate.ask(header).name == "shop"


def _altered(text: str, place: int) -> str:
    other = "A" if text[place] != "A" else "B"
    return text[:place] + other + text[place + 1 :]


def test_every_letter_of_a_key_counts(tmp_path: Path) -> None:
    """The id's and the secret's, to the last."""
    gate = Gate(tmp_path, bad_credentials_per_minute=1000)
    _, header = gate.give()
    for place in range(len("Bearer "), len(header)):
        assert gate.refusal(_altered(header, place)).status == 401
    assert gate.refusal(header + "A").status == 401
    assert gate.refusal(header[:-1]).status == 401


def _signed_with_the_public_key(pem: bytes) -> str:
    signed = json_b64encode({"alg": "HS256", "kid": "one"}) + b"." + json_b64encode(claims())
    return (signed + b"." + urlsafe_b64encode(hmac.digest(pem, signed, "sha256"))).decode()


PEM = signing_key().as_pem(private=False)

BAD_TOKENS: dict[str, Callable[[], str]] = {
    "expired": lambda: token(claims(exp=NOW - 31)),
    "no exp": lambda: token(claims(exp=None)),
    "exp is text": lambda: token(claims(exp="never")),
    "exp is true": lambda: token(claims(exp=True)),
    "exp is NaN": lambda: token(claims(exp=float("nan"))),
    "not yet": lambda: token(claims(nbf=NOW + 31)),
    "of tomorrow": lambda: token(claims(iat=NOW + 86_400)),
    "other issuer": lambda: token(claims(iss="https://evil.example.org/")),
    "no issuer": lambda: token(claims(iss=None)),
    "other audience": lambda: token(claims(aud="billing")),
    "other audiences": lambda: token(claims(aud=["billing", "perennial2"])),
    "no audience": lambda: token(claims(aud=None)),
    "alg none": lambda: json_b64encode({"alg": "none", "kid": "one"}).decode() + "." + token().split(".")[1] + ".",
    "alg none, signature kept": lambda: json_b64encode({"alg": "none"}).decode() + token()[token().index(".") :],
    "HS256 with the public key": lambda: _signed_with_the_public_key(PEM),
    "HS256 with the public key as one line": lambda: _signed_with_the_public_key(PEM.strip()),
    "unknown crit": lambda: token(header={"crit": ["x"], "x": 1}),
    "crit without its header": lambda: token(header={"crit": ["x"]}),
    "crit of nothing": lambda: token(header={"crit": []}),
    "crit is no list": lambda: token(header={"crit": 5}),
    "crit b64": lambda: token(header={"crit": ["b64"], "b64": True}),
    "unencoded": lambda: json_b64encode({"alg": "RS256", "kid": "one", "b64": False}).decode() + ".x." + "AAAA",
    "unknown kid": lambda: token(key=signing_key(kid="two")),
    "kid of ours, key of another": lambda: token(key=signing_key(kid="two"), header={"kid": "one"}),
    "kid is a path": lambda: token(header={"kid": "../../dev/null"}),
    "kid is a number": lambda: token(header={"kid": 1}),
    "own key in the header": lambda: token(
        key=signing_key(kid="two"), header={"kid": "one", "jwk": jwks(signing_key(kid="two"))["keys"][0]}
    ),
    "payload changed": lambda: ".".join(
        [token().split(".")[0], json_b64encode(claims(roles=["operate"])).decode(), token().split(".")[2]]
    ),
    "signature cut": lambda: token()[:-4],
    "no signature": lambda: token().rpartition(".")[0] + ".",
    "two parts": lambda: token().rpartition(".")[0],
    "encrypted": lambda: "e30.e30.e30.e30.e30",
    "oversized": lambda: token(claims(padding="x" * 8192)),
    "deep header": lambda: base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.AAAA",
    "deep unread header": lambda: (
        base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"one","x":' + b"[" * 5000).decode().rstrip("=") + ".e30.AAAA"
    ),
    "claims are a list": lambda: token([]),  # type: ignore[arg-type] # what a forger sends
}


def test_a_good_token_opens(gate: Gate) -> None:
    """What the bad ones below differ from."""
    caller = gate.ask(f"Bearer {token()}")
    assert caller.name == "shop"
    assert caller.may("predict")
    assert caller.rate is None


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_is_refused(gate: Gate, kind: str) -> None:
    """Whatever is wrong with it, and a repeat is no better."""
    header = f"Bearer {BAD_TOKENS[kind]()}"
    for _ in range(2):
        assert gate.refusal(header).status == 401
    assert gate.access.known(header.encode()) is None


def test_a_clock_may_differ_by_half_a_minute(gate: Gate) -> None:
    """Of the issuer and of ours."""
    assert gate.ask(f"Bearer {token(claims(exp=NOW - 29, nbf=NOW + 29))}").name == "shop"


def test_a_known_token_ends_when_it_should(gate: Gate) -> None:
    """It is not verified again before, and not served after."""
    header = f"Bearer {token(claims(exp=NOW + 60))}"
    gate.ask(header)
    gate.now += 89
    assert gate.access.known(header.encode())
    gate.now += 1
    assert gate.access.known(header.encode()) is None
    assert "expired" in gate.refusal(header).detail


def test_known_tokens_are_forgotten_with_the_keys_that_signed_them(gate: Gate) -> None:
    """An issuer that withdraws a key withdraws what it signed; the same keys once more change nothing."""
    _, of_key = gate.give()
    header = f"Bearer {token()}"
    gate.ask(of_key)
    gate.ask(header)
    gate.access.replace_jwks(jwks())
    assert gate.access.known(header.encode())
    gate.access.replace_jwks(jwks(signing_key(kid="two")))
    assert gate.access.known(header.encode()) is None
    assert gate.access.known(of_key.encode())
    assert gate.refusal(header).status == 401


def test_only_so_many_credentials_are_remembered(gate: Gate) -> None:
    """One key with ever new names fills no memory; what is used most stays."""
    _, header = gate.give()
    text = header.removeprefix("Bearer ")

    async def many() -> None:
        for i in range(MAX_REMEMBERED + 50):
            await gate.access.caller(_basic(f"{i}:{text}"), HERE)
            if i % 100 == 0:
                await gate.access.caller(header, HERE)

    asyncio.run(many())
    assert len(gate.access._remembered) == MAX_REMEMBERED
    assert gate.access.known(header.encode())
    assert gate.access.known(_basic(f"0:{text}").encode()) is None


@pytest.mark.parametrize(
    ("roles", "may", "may_not"),
    [
        (["predict"], [("predict", None), ("predict", "credit")], [("label", "credit"), ("operate", None)]),
        (
            ["predict:credit", "label"],
            [("predict", "credit"), ("label", "bike"), ("label", None)],
            [("predict", "bike"), ("predict", None), ("operate", "credit")],
        ),
        (["perennial:operate", "perennial:predict:bike"], [("operate", None), ("predict", "bike")], [("predict", "x")]),
        (["Predict", "predict:", "perennial", "admin", "*", "", ":credit"], [], [("predict", "credit")]),
        ([], [], [("predict", None), ("predict", "credit")]),
        ("openid predict:credit", [("predict", "credit")], [("predict", None)]),
    ],
    ids=str,
)
def test_roles_allow_what_they_say(
    gate: Gate, roles: Any, may: list[tuple[str, str | None]], may_not: list[tuple[str, str | None]]
) -> None:
    """Each scope for its own models; what is not ours or is written wrongly allows nothing."""
    caller = gate.ask(f"Bearer {token(claims(roles=roles))}")
    for scope, model in may:
        check_scope(caller, scope, model)
    for scope, model in may_not:
        with pytest.raises(Problem, match=scope) as caught:
            check_scope(caller, scope, model)
        assert caught.value.kind == "forbidden"


def test_a_scope_somewhere_opens_lists_only() -> None:
    """Who may ask one model may see the list, and no more."""
    caller = Caller("", "shop", frozenset({("predict", "credit")}))
    assert caller.may_somewhere("predict")
    assert not caller.may_somewhere("label")
    assert not caller.may("predict")
    assert not caller.may("predict", "")


@hypothesis_settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_bytes_are_refused_with_a_problem(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Nothing a client can send makes anything else of us."""
    gate = Gate(tmp_path_factory.mktemp("garbage"), bad_credentials_per_minute=10_000)
    good = token().encode()
    part = st.one_of(
        st.binary(max_size=60),
        st.sampled_from(good.split(b".")),
        st.sampled_from([b"e30", b"bnVsbA", b"W10", b"pk_", b"MQ", b"eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9"]),
    )
    joined = st.tuples(
        st.sampled_from([b"", b"Bearer ", b"Basic ", b"bearer\t", b"Bearer  ", b"Digest "]),
        st.lists(part, max_size=6),
        st.sampled_from([b".", b":", b"_", b" ", b""]),
    ).map(lambda parts: parts[0] + parts[2].join(parts[1]))
    header = data.draw(joined.filter(lambda header: header != b"Bearer " + good))
    assert gate.refusal(header).status == 401
    gate.rates.close()


@hypothesis_settings(max_examples=200, deadline=None)
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_token_is_refused(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    """Header, claims and signature are one."""
    gate = Gate(tmp_path_factory.mktemp("bits"))
    spoilt = bytearray(token().encode())
    spoilt[place % len(spoilt)] ^= 1 << bit
    assert gate.refusal(b"Bearer " + bytes(spoilt)).status == 401
    gate.rates.close()


BAD_CREDENTIALS: dict[str, Callable[[], str]] = {
    "keys": lambda: "Bearer " + new_key("shop", ("predict",), (), None, AT, None)[1],
    "malformed keys": lambda: "Bearer pk_nothing",
    "tokens": lambda: f"Bearer {token(claims(exp=NOW - 31))}",
    "tokens of unknown keys": lambda: f"Bearer {token(key=signing_key(kid='two'))}",
    "passwords": lambda: _basic("browser:pk_nothing"),
    "headers of other schemes": lambda: "Digest x",
    "headers outside ASCII": lambda: "Bearer é",
}


@pytest.mark.parametrize("kind", BAD_CREDENTIALS)
def test_bad_credentials_are_counted_and_good_ones_of_the_same_address_are_not_affected(gate: Gate, kind: str) -> None:
    """After 20 bad ones a further bad one is 429; used and new keys, new tokens and passwords are accepted."""
    _, used = gate.give()
    gate.ask(used)
    bad = BAD_CREDENTIALS[kind]
    assert {gate.refusal(bad()).status for _ in range(20)} == {401}
    for round_ in range(3):
        problem = gate.refusal(bad())
        assert problem.status == 429
        assert 1 <= _retry_after(problem) <= 3
        _, unused = gate.give()
        renewed = token(claims(jti=f"{kind} {round_}"))
        for header in (used, unused, f"Bearer {renewed}", _basic(f"x:{unused.removeprefix('Bearer ')}")):
            assert gate.ask(header).name == "shop"
    assert gate.refusal(None).status == 401


def test_who_waits_may_try_again(gate: Gate) -> None:
    """The wait that is told is enough for one more try."""
    for _ in range(20):
        gate.refusal("Bearer nothing")
    gate.now += _retry_after(gate.refusal("Bearer nothing"))
    assert gate.refusal("Bearer nothing").status == 401
    assert gate.refusal("Bearer nothing").status == 429


def test_good_credentials_and_missing_ones_are_no_guesses(gate: Gate) -> None:
    """A browser's first request has none; a busy client sends many."""
    for _ in range(40):
        gate.refusal(None)
        _, header = gate.give()
        gate.ask(header)
    assert gate.refusal("Bearer nothing").status == 401


def test_a_network_of_ipv6_addresses_guesses_as_one(gate: Gate) -> None:
    """Whoever has one address has 2^64 of them; an IPv4 address written as IPv6 is the same address."""
    for i in range(20):
        gate.refusal("Bearer nothing", f"2001:db8:0:1::{i:x}")
        gate.refusal("Bearer nothing", f"::ffff:192.0.2.{7 if i % 2 else 8}")
    assert gate.refusal("Bearer nothing", "2001:db8:0:1:ffff::1").status == 429
    assert gate.refusal("Bearer nothing", "2001:db8:0:2::1").status == 401
    assert gate.refusal("Bearer nothing", "192.0.2.7").status == 401
    assert gate.refusal("Bearer nothing", "not an address").status == 401


def test_workers_count_guesses_together(tmp_path: Path) -> None:
    """Twenty bad keys at one worker are twenty at the other."""
    gates = [Gate(tmp_path), Gate(tmp_path)]
    for i in range(20):
        assert gates[i % 2].refusal("Bearer nothing").status == 401
    assert [gate.refusal("Bearer nothing").status for gate in gates] == [429, 429]


def test_a_caller_keeps_to_its_rate(gate: Gate) -> None:
    """Per key, not per name; the answer says when to come back."""
    _, header = gate.give(rate=2.0)
    _, other = gate.give(rate=2.0)
    caller = gate.ask(header)
    gate.access.check_rate(caller)
    gate.access.check_rate(caller)
    with pytest.raises(Problem, match="2 requests per second") as caught:
        gate.access.check_rate(caller)
    assert (caught.value.kind, _retry_after(caught.value)) == ("too-many-requests", 1)
    gate.access.check_rate(gate.ask(other))
    gate.now += 1
    gate.access.check_rate(caller)
    for _ in range(100):
        gate.access.check_rate(ANYONE)


def test_the_secret_is_in_no_memory_of_ours(gate: Gate) -> None:
    """What is remembered is a hash, so a dump tells nothing."""
    key, header = gate.give()
    gate.ask(header)
    secret = header.rpartition("_")[2]
    assert secret not in repr((gate.access._remembered, gate.access._keys, key))


def test_tokens_are_refused_where_no_issuer_is_set(tmp_path: Path) -> None:
    """And keys that arrive nevertheless are an error of ours, not a door."""
    access = Access(ServingSettings(access="required"), SharedRates(tmp_path / "rates", 64))
    with pytest.raises(Problem, match="does not accept access tokens"):
        asyncio.run(access.caller(f"Bearer {token()}", HERE))
    with pytest.raises(ConfigError, match="JWT_ISSUER"):
        access.replace_jwks(jwks())


def test_a_new_key_of_the_issuer_is_fetched_when_a_token_names_it(tmp_path: Path) -> None:
    """Rotation needs nobody's hand, and a made-up kid fetches nothing more for ten seconds."""
    with publishing() as issuer:
        gate = Gate(tmp_path, refresh=JwksFollower(issuer.url).refresh)
        issuer.publish(signing_key(), signing_key(kid="two"))
        header = f"Bearer {token(key=signing_key(kid='two'))}"
        assert gate.ask(header).name == "shop"
        for _ in range(5):
            assert gate.refusal(f"Bearer {token(key=signing_key(kid='three'))}").status == 401
        assert issuer.n_asked == 1


def test_an_issuer_that_is_away_is_nobodys_guess(tmp_path: Path) -> None:
    """Good clients that cannot be verified yet are not made to wait afterwards."""
    with publishing() as issuer:
        issuer.status = 503
        settings = ServingSettings(access="required", jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
        rates = SharedRates(tmp_path / "rates", 64)
        access = Access(settings, rates, clock=lambda: NOW, refresh=JwksFollower(issuer.url).refresh)

        async def refusals() -> list[str]:
            found = []
            for _ in range(30):
                with pytest.raises(Problem) as caught:
                    await access.caller(f"Bearer {token()}", HERE)
                found.append(caught.value.detail)
            return found

        assert {detail for detail in asyncio.run(refusals()) if "can be verified yet" not in detail} == set()
        access.replace_jwks(jwks())
        assert asyncio.run(access.caller(f"Bearer {token()}", HERE)).name == "shop"


def test_tokens_that_wait_for_the_issuer_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred forged ones share a few places; a token of another network gets one, and keys do not wait."""
    monkeypatch.setattr("serving.access.budget.HOLD_SECONDS", 0.01)
    monkeypatch.setattr("serving.access.budget.GRACE_SECONDS", 0)
    fetched = asyncio.Event()

    async def refresh() -> dict[str, Any]:
        await fetched.wait()
        return jwks(signing_key(), signing_key(kid="two"))

    gate = Gate(tmp_path, refresh=refresh, max_concurrent_other=4)
    _, header = gate.give()
    good = f"Bearer {token(key=signing_key(kid='two'))}"

    async def story() -> tuple[list[BaseException | Caller], Caller, Caller]:
        forged = [
            asyncio.create_task(gate.access.caller(f"Bearer {token(key=signing_key(kid=f'three{i % 3}'))}", HERE))
            for i in range(100)
        ]
        waits = asyncio.create_task(gate.access.caller(good, "198.51.100.7"))
        await asyncio.sleep(0.2)
        by_key = await gate.access.caller(header, HERE)
        assert len([one for one in forged if not one.done()]) <= 4
        fetched.set()
        return await asyncio.gather(*forged, return_exceptions=True), await waits, by_key

    refused, *callers = asyncio.run(story())
    assert [caller.name for caller in callers] == ["shop", "shop"]
    statuses = [found.status for found in refused if isinstance(found, Problem)]
    assert len(statuses) == 100
    assert set(statuses) <= {401, 429, 503}
    assert statuses.count(503) >= 96


def test_the_cryptography_is_loaded_only_for_tokens() -> None:
    """A service with keys alone starts without it."""
    found = "'joserfc' in sys.modules, 'cryptography' in sys.modules"
    code = f"import sys, serving.access.access, serving.access.jwks; print({found})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"]


JWT = {"jwks_url": "https://issuer.example.org/keys", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


@pytest.mark.parametrize(
    ("given", "has_keys", "message"),
    [
        ({"host": "0.0.0.0", "access": "open"}, True, "perennial keys create NAME --scope predict"),  # noqa: S104
        ({"host": "::", "access": "open"}, True, "PERENNIAL_SERVE_ACCESS=required"),
        ({"host": "0.0.0.0"}, False, "perennial keys create NAME --scope predict"),  # noqa: S104
        ({"host": "example.org"}, False, "no key exists"),
        ({"access": "required"}, False, "no key exists"),
        ({"trusted_proxies": "127.0.0.1"}, True, "PERENNIAL_SERVE_TRUSTED_PROXIES"),
        (JWT | {"jwt_issuer": None}, True, "PERENNIAL_SERVE_JWT_ISSUER"),
        (JWT | {"jwt_audience": ""}, True, "PERENNIAL_SERVE_JWT_AUDIENCE"),
        (JWT | {"jwks_url": "http://issuer.example.org/keys"}, True, "https"),
    ],
    ids=str,
)
def test_a_service_without_protection_does_not_start(given: dict[str, Any], has_keys: bool, message: str) -> None:
    """The error says what to do."""
    with pytest.raises(ConfigError, match=message):
        refuse_unprotected(ServingSettings(**given), has_keys)


@pytest.mark.parametrize(
    ("given", "has_keys"),
    [
        ({}, False),
        ({"host": "127.0.0.53"}, False),
        ({"host": "0.0.0.0"}, True),  # noqa: S104
        ({"trusted_proxies": "127.0.0.1", "access": "required"}, True),
        (JWT | {"host": "0.0.0.0"}, False),  # noqa: S104
        (JWT | {"jwks_url": "http://localhost:8080/keys"}, False),
    ],
    ids=str,
)
def test_a_protected_service_starts(given: dict[str, Any], has_keys: bool) -> None:
    """On loopback anybody may; elsewhere a key or an issuer stands before it."""
    refuse_unprotected(ServingSettings(**given), has_keys)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True), ("127.255.0.9", True), ("::1", True), ("localhost", True), ("LOCALHOST", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("128.0.0.1", False), ("127.0.0.1.org", False),  # noqa: S104
        ("::ffff:192.0.2.1", False), ("localhost.example.org", False), ("127.1", False), ("example.org", False),
    ],
)  # fmt: skip
def test_loopback_is_the_whole_range(host: str, is_loopback: bool) -> None:
    """What only this machine reaches, and nothing that looks like it."""
    assert ServingSettings(host=host).is_loopback is is_loopback


def test_a_key_is_no_bad_one_before_the_keys_are_read(tmp_path: Path) -> None:
    """Right after the start a valid key is answered "later", is not counted, and the service is not ready."""
    settings = ServingSettings(access="required", bad_credentials_per_minute=2)
    access = Access(settings, SharedRates(tmp_path / "rates", 64), clock=lambda: NOW)
    key, text = new_key("shop", ("predict",), (), None, AT, None)
    for _ in range(5):
        with pytest.raises(Problem) as caught:
            asyncio.run(access.caller(f"Bearer {text}", HERE))
        assert (caught.value.status, dict(caught.value.headers)[b"retry-after"]) == (503, b"1")
    assert "have not been read" in str(access.trouble)
    access.replace_keys([key])
    assert access.trouble is None
    assert asyncio.run(access.caller(f"Bearer {text}", HERE)).name == "shop"
