"""Rate limits shared by all processes of a machine, in a memory-mapped file."""

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
"""Unix times of this century have a resolution of 0.24 µs as 64-bit floats; a shorter wait counts as none."""

_opening = threading.Lock()


class SharedRates:
    """Rate limits, counted over all processes that open the same file.

    Each key maps to a slot of eight bytes: the time at which its next event would be due if events came evenly. Two
    keys may share a slot and then share their count; a random hash key in the file's header decides which, so a client
    cannot choose a collision. A clock that is set back and a damaged slot correct themselves: no wait is longer than
    the key's own rate explains.

    Open a file only once per process: closing a second descriptor would release the locks of the first one.

    Parameters
    ----------
    path
        The file; created if missing, replaced if damaged or of another size. Only its owner may read it.
    slots
        Number of slots.
    clock
        Seconds since 1970. All processes must agree on it, so it is the wall clock.

    Raises
    ------
    StorageError
        The file cannot be created or opened.

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
                f"the file of rate limits {path} cannot be opened: {error.strerror}. "
                "Check that its folder is writable and its disk has space, then start again"
            ) from error
        self._key = _HEADER.unpack_from(self._map)[2]
        self._due = memoryview(self._map)[_HEADER.size :].cast("d")

    def allow(self, key: str, per_second: float, burst: float | None = None, *, verified: bool = True) -> float:
        """Count an event if the key's rate allows it now.

        Parameters
        ----------
        key
            What is counted.
        per_second
            Events per second in the long run, more than 0.
        burst
            Events allowed at once, at least 1; None: ``per_second``.
        verified
            Whether the key names a verified caller. Other keys, such as addresses, have half of the slots for
            themselves: a client with many addresses then never shares a slot with a caller.

        Returns
        -------
        float
            0.0 if the event is allowed, and then it is counted; otherwise the seconds until it would be.
        """
        return self._wait(self._slot(key, verified), _spacing(per_second, burst))

    def close(self) -> None:
        """Close the file; the counts stay in it."""
        self._due.release()
        self._map.close()
        os.close(self._file)

    def _slot(self, key: str, verified: bool) -> int:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).digest()
        half = (self._n_slots + 1) // 2
        first, n = (0, half) if verified else (self._n_slots - half, half)
        return first + int.from_bytes(digest, "little") % n

    def _wait(self, slot: int, spacing: tuple[float, float]) -> float:
        place = _HEADER.size + slot * _SLOT_BYTES
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _SLOT_BYTES, place)
            try:
                return self._held_wait(slot, *spacing)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SLOT_BYTES, place)

    def _held_wait(self, slot: int, interval: float, tolerance: float) -> float:
        now = self._clock()
        # In this order of arguments, a slot that is NaN counts as free. A slot that is too far ahead is overwritten:
        # if it were only clipped when read, it would stay ahead for ever.
        due = min(max(now, self._due[slot]), now + tolerance + interval)
        wait = due - tolerance - now
        if wait > _ROUNDING_SECONDS:
            self._due[slot] = due
            return wait
        self._due[slot] = due + interval
        return 0.0


def _spacing(per_second: float, burst: float | None) -> tuple[float, float]:
    """Return the seconds between two events, and the seconds by which one may be early."""
    if not per_second > 0:
        raise ValueError(f"expected a rate above 0 per second, found {per_second}")
    interval = 1 / per_second
    return interval, (max(1.0, per_second if burst is None else burst) - 1) * interval


def _size(slots: int) -> int:
    return _HEADER.size + slots * _SLOT_BYTES


def _opened(path: Path, slots: int) -> int:
    """Open the file. A new one replaces a damaged one by rename, never by truncation: others may have it mapped."""
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
                    _write_new(path, slots)
            except OSError:
                os.close(file)
                raise
            os.close(file)


def _is_at(path: Path, file: int) -> bool:
    """Whether the path still names the open file; another process may have replaced it while this one waited."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(file))
    return False


def _is_sound(file: int, slots: int) -> bool:
    if os.fstat(file).st_size != _size(slots):
        return False
    magic, found, _ = _HEADER.unpack(os.pread(file, _HEADER.size, 0))
    return bool(magic == _MAGIC and found == slots)


def _write_new(path: Path, slots: int) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as new:
            # Zeros are written, not left as a hole: a full disk must fail here, not with SIGBUS at a later count.
            new.write(_HEADER.pack(_MAGIC, slots, secrets.token_bytes(32)) + bytes(slots * _SLOT_BYTES))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
