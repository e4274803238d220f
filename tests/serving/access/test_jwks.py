"""Keys of an issuer are fetched with suspicion, and kept when it is away."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from serving.access import jwks as module
from serving.access.jwks import JwksFollower, check_jwks_url, public_keys
from tests.serving.access.issuer import Publisher, jwks, publishing, signing_key


@pytest.fixture
def issuer() -> Iterator[Publisher]:
    """Run a server that publishes a key."""
    with publishing() as publisher:
        yield publisher


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def _kids(document: dict[str, Any] | None) -> list[str] | None:
    return None if document is None else [key["kid"] for key in document["keys"]]


async def _first_replacement(follower: JwksFollower) -> dict[str, Any]:
    arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    following = asyncio.create_task(follower.follow(arrived.put_nowait))
    try:
        return await asyncio.wait_for(arrived.get(), timeout=120)
    finally:
        following.cancel()


def test_keys_are_fetched_at_most_once_in_ten_seconds(issuer: Publisher) -> None:
    """Fifty callers at once are one request, and the next one comes when the time is up."""
    clock = Clock()
    follower = JwksFollower(issuer.url, clock=clock)

    async def ask(kid: str) -> None:
        documents = await asyncio.gather(*(follower.refresh() for _ in range(50)))
        assert [_kids(document) for document in documents] == [[kid]] * 50

    async def story() -> None:
        await ask("one")
        issuer.publish(signing_key(kid="two"))
        await ask("one")
        assert issuer.n_asked == 1
        clock.now += 10
        await ask("two")
        assert issuer.n_asked == 2

    asyncio.run(story())


def test_following_hands_over_what_is_new(issuer: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again and again, until it is cancelled."""
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)

    async def follow() -> list[str]:
        arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        following = asyncio.create_task(JwksFollower(issuer.url).follow(arrived.put_nowait))
        first = await arrived.get()
        issuer.publish(signing_key(kid="two"))
        while (newest := await asyncio.wait_for(arrived.get(), timeout=120)) == first:
            pass
        following.cancel()
        return [key["kid"] for key in newest["keys"]]

    assert asyncio.run(follow()) == ["two"]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"status": 500},
        {"status": 404},
        {"body": b""},
        {"body": b"<html>"},
        {"body": b"[" * 100_000},
        {"body": b"\xff\xfe"},
        {"body": b"null"},
        {"body": b'{"keys": []}'},
        {"body": b'{"keys": {"kty": "RSA"}}'},
        {"body": b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'},
        {"body": b" " * (256 * 1024) + json.dumps(jwks()).encode()},
    ],
    ids=lambda spoilt: str(spoilt)[:50],
)
def test_a_bad_answer_leaves_the_last_good_keys(
    issuer: Publisher, spoilt: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """And is told in the log."""
    clock = Clock()
    follower = JwksFollower(issuer.url, clock=clock)
    assert _kids(asyncio.run(follower.refresh())) == ["one"]
    clock.now += 10
    for name, value in spoilt.items():
        setattr(issuer, name, value)
    with caplog.at_level(logging.WARNING):
        assert _kids(asyncio.run(follower.refresh())) == ["one"]
    assert "could not be fetched" in caplog.text


def test_an_issuer_that_is_gone_leaves_the_last_good_keys() -> None:
    """Nothing listens there any more."""
    clock = Clock()
    with publishing() as issuer:
        follower = JwksFollower(issuer.url, clock=clock)
        asyncio.run(follower.refresh())
    clock.now += 10
    assert _kids(asyncio.run(follower.refresh())) == ["one"]


def test_a_redirect_is_not_followed(issuer: Publisher) -> None:
    """Where it leads to was never checked."""
    with publishing() as elsewhere:
        issuer.status, issuer.headers = 302, {"Location": elsewhere.url}
        assert asyncio.run(JwksFollower(issuer.url).refresh()) is None
        assert elsewhere.n_asked == 0


def test_an_answer_in_drops_is_cut(issuer: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time holds for the whole answer, not for each byte of it."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    issuer.seconds_between_bytes = 0.05
    # In full it would be good.
    assert asyncio.run(JwksFollower(issuer.url).refresh()) is None


def test_nobody_waits_long_for_a_slow_issuer(issuer: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller goes on without newer keys, or goes away; what arrives late is for the next one."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    issuer.may_answer.clear()
    follower = JwksFollower(issuer.url)

    async def story() -> None:
        gone = asyncio.create_task(follower.refresh())
        await asyncio.sleep(0.01)
        gone.cancel()
        assert await follower.refresh() is None
        issuer.may_answer.set()
        while (late := await follower.refresh()) is None:
            await asyncio.sleep(0.01)
        assert _kids(late) == ["one"]
        assert issuer.n_asked == 1

    asyncio.run(story())


def test_a_cold_start_finds_the_kept_keys(tmp_path: Path) -> None:
    """Only the owner may read or write them; they are handed over before anything is fetched."""
    cache = tmp_path / "kept" / "jwks.json"
    with publishing() as issuer:
        asyncio.run(JwksFollower(issuer.url, cache=cache).refresh())
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert [path.name for path in cache.parent.iterdir()] == ["jwks.json"]
    assert _kids(asyncio.run(_first_replacement(JwksFollower(issuer.url, cache=cache)))) == ["one"]


@pytest.mark.parametrize("spoil", ["other url", "writable", "garbage", "link"])
def test_kept_keys_of_doubtful_origin_are_not_used(issuer: Publisher, tmp_path: Path, spoil: str) -> None:
    """Another issuer's, anybody's, nobody's: the fetched ones come instead."""
    cache = tmp_path / "jwks.json"
    kept = {"url": issuer.url, **jwks(signing_key(kid="kept"))}
    cache.write_text(json.dumps(kept | ({"url": "https://other.example.org"} if spoil == "other url" else {})))
    cache.chmod(0o666 if spoil == "writable" else 0o600)
    if spoil == "garbage":
        cache.write_bytes(b"[" * 10_000)
    if spoil == "link":
        cache.rename(tmp_path / "elsewhere")
        cache.symlink_to(tmp_path / "elsewhere")
    assert _kids(asyncio.run(_first_replacement(JwksFollower(issuer.url, cache=cache)))) == ["one"]


def test_a_cache_that_cannot_be_written_stops_nothing(issuer: Publisher, tmp_path: Path) -> None:
    """The keys are used all the same."""
    (tmp_path / "file").write_text("")
    follower = JwksFollower(issuer.url, cache=tmp_path / "file" / "jwks.json")
    assert _kids(asyncio.run(follower.refresh())) == ["one"]


def test_only_public_keys_are_taken() -> None:
    """A secret that was published is none, and proves nothing."""
    published = signing_key("P-256", kid="leaked").as_dict(private=True)
    document = {"keys": [*jwks()["keys"], published, {"kty": "oct", "k": "AAAA"}, "key", None]}
    assert [key["kid"] for key in public_keys(document)] == ["one"]


@pytest.mark.parametrize("url", ["https://issuer.example.org/keys", "http://127.0.0.9:8080/keys", "http://[::1]/keys"])
def test_addresses_that_can_be_trusted(url: str) -> None:
    """Encrypted, or on this machine."""
    check_jwks_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.org/keys",
        "http://localhost.example.org/keys",
        "http://127.0.0.1@issuer.example.org/keys",
        "https://user:password@issuer.example.org/keys",
        "file:///etc/passwd",
        "data:application/json,{}",
        "https://",
        "https://[::1",
        "https://issuer.example.org:port/",
        "keys",
        "",
    ],
)
def test_addresses_that_cannot_be_trusted(url: str) -> None:
    """Anybody on the way could sign in as anyone."""
    with pytest.raises(ConfigError, match="PERENNIAL_SERVE_JWKS_URL"):
        JwksFollower(url)
