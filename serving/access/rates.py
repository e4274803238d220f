"""Rates that all processes of the machine keep together, in a file mapped into memory."""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from core.errors import StorageError

_HEADER = struct.Struct("=8sQ32s16x")
_MAGIC = b"PRNRATE1"
_SLOT_BYTES = 8
_ROUNDING_SECONDS = 1e-6
"""Moments of this century have steps of 0.24 µs as numbers of 64 bits; a wait below this is none."""

_opening = threading.Lock()


class SharedRates:
    """Bounds on how often something happens, counted over all processes that open the same file.

    A key has a slot of eight bytes: the moment at which its next event would be due if events came evenly. Two keys
    may share a slot and then share their counts; which do is decided by a random key in the file's header, so nobody
    outside can choose it. Clocks that are set back and damaged slots heal: no wait is longer than the key's own rate
    can explain.

    Open a file once in a process: closing it twice would end the locks of the one that is still open.

    Parameters
    ----------
    path
        File; made where it is not there, made anew where it is damaged or has other slots. Only its owner may read it.
    slots
        Number of slots.
    clock
        Seconds since 1970. The processes must agree, so it is the wall clock.

    Raises
    ------
    StorageError
        The file cannot be made or opened.

    References
    ----------
    ITU-T I.371, the generic cell rate algorithm.
    """

    def __init__(self, path: Path, slots: int = 65536, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._n_slots = slots
        try:
            self._file = _opened(path, slots)
            self._map = mmap.mmap(self._file, _size(slots))
        except OSError as error:
            raise StorageError(
                f"the file of shared rates {path} cannot be opened: {error.strerror}. "
                "Check that its folder may be written and has space, then start again"
            ) from error
        self._key = _HEADER.unpack_from(self._map)[2]
        self._due = memoryview(self._map)[_HEADER.size :].cast("d")

    def allow(self, key: str, per_second: float, burst: float | None = None) -> float:
        """Count an event if the key's rate allows it now.

        Parameters
        ----------
        key
            What is counted.
        per_second
            Events per second in the long run, more than 0.
        burst
            Events that may come at once, at least 1; ``per_second`` when None.

        Returns
        -------
        float
            0.0 where it is allowed, and counted; otherwise the seconds after which it would be.
        """
        return self._wait(key, _spacing(per_second, burst), counts=True)

    def peek(self, key: str, per_second: float, burst: float | None = None) -> float:
        """Return what :meth:`allow` would return, and count nothing."""
        return self._wait(key, _spacing(per_second, burst), counts=False)

    def close(self) -> None:
        """Close the file; what was counted stays in it."""
        self._due.release()
        self._map.close()
        os.close(self._file)

    def _wait(self, key: str, spacing: tuple[float, float], *, counts: bool) -> float:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).digest()
        slot = int.from_bytes(digest, "little") % self._n_slots
        place = _HEADER.size + slot * _SLOT_BYTES
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT_BYTES, place)
            try:
                return self._held_wait(slot, *spacing, counts)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT_BYTES, place)

    def _held_wait(self, slot: int, interval: float, tolerance: float, counts: bool) -> float:
        now = self._clock()
        # In this order a slot that is not a number counts as free. One that is too far ahead is put right, and not
        # only read as nearer: read anew at each later moment, it would stay ahead for ever.
        due = min(max(now, self._due[slot]), now + tolerance + interval)
        wait = due - tolerance - now
        if wait > _ROUNDING_SECONDS:
            self._due[slot] = due
            return wait
        if counts:
            self._due[slot] = due + interval
        return 0.0


def _spacing(per_second: float, burst: float | None) -> tuple[float, float]:
    """Return the seconds between two events, and how much earlier than due one may come."""
    if not per_second > 0:
        raise ValueError(f"a rate is more than 0 per second, found {per_second}")
    interval = 1 / per_second
    return interval, (max(1.0, per_second if burst is None else burst) - 1) * interval


def _size(slots: int) -> int:
    return _HEADER.size + slots * _SLOT_BYTES


def _opened(path: Path, slots: int) -> int:
    """Open the file, which is put in place whole: others may have the damaged one mapped, so it is never cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opening:
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX, _HEADER.size)
                if _is_at(path, file):
                    if _is_sound(file, slots):
                        os.fchmod(file, 0o600)
                        fcntl.lockf(file, fcntl.LOCK_UN, _HEADER.size)
                        return file
                    _put_new(path, slots)
            except OSError:
                os.close(file)
                raise
            os.close(file)


def _is_at(path: Path, file: int) -> bool:
    """Say whether the path still names the open file: another process may have replaced it while this one waited."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file))
    return False


def _is_sound(file: int, slots: int) -> bool:
    if os.fstat(file).st_size != _size(slots):
        return False
    magic, found, _ = _HEADER.unpack(os.pread(file, _HEADER.size, 0))
    return bool(magic == _MAGIC and found == slots)


def _put_new(path: Path, slots: int) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as new:
            # Written and not only announced: a full disk must show here, not as a signal at some later count.
            new.write(_HEADER.pack(_MAGIC, slots, secrets.token_bytes(32)) + bytes(slots * _SLOT_BYTES))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
