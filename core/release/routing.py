"""Which variant answers a request: a stable hash of the subject, salted per release."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

MOST_SALT = 64
"""Bytes of a key of BLAKE2b; the release's id is shorter."""

_BUCKETS = 1 << 64


def entity_of(keys: Sequence[str | None] | None) -> str | None:
    """Return the entity that a request is about: the key that all its rows have; None if there is no such key.

    Examples
    --------
    >>> entity_of(["a", "a"]), entity_of(["a", "b"]), entity_of(["a", None]), entity_of([None]), entity_of(None)
    ('a', None, None, None, None)
    """
    if not keys or keys[0] is None or any(key != keys[0] for key in keys):
        return None
    return keys[0]


def goes_to_challenger(salt: str, subject: str, share: int) -> bool:
    """Return whether the challenger answers a subject: the same answer in every process and at every time.

    The hash of the subject is a point between 0 and 1, and the challenger has the points below the share. So a subject
    that the challenger answers at 5 % is answered by it at 25 % too. Another salt gives another order. It takes
    about a microsecond.

    Parameters
    ----------
    salt
        Identity of the release, the same for all of its steps, at most 64 bytes in UTF-8.
    subject
        Entity key of the row, or the id of the request.
    share
        Percent of the subjects that the challenger answers, 0 to 100.

    Raises
    ------
    ValueError
        The salt is longer than 64 bytes.

    References
    ----------
    Aumasson, Neves, Wilcox-O'Hearn, Winnerlein (2013), BLAKE2: simpler, smaller, fast as MD5, ACNS (RFC 7693); its key
    is the salt.

    Examples
    --------
    >>> [goes_to_challenger("release-7", "customer-4", share) for share in (0, 5, 25, 50, 100)]
    [False, False, False, False, True]
    """
    digest = blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()).digest()
    return int.from_bytes(digest, "big") * 100 < share * _BUCKETS
