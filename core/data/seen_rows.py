"""The rows that a model was trained on, as a compact set of hashes in its bundle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.schema import ModelConfig
from core.data.rows import Rows
from core.data.split import Hashes, Split, feature_hashes, repeats_by_chance, scattered

HASH_BITS = 40
"""Bits kept of a hash: 64 take twice the space; with 32, one new row in 500 would match after two million rows."""

IDENTITY_SALT = np.uint64(0x1D)
CONTENT_SALT = np.uint64(0xC0)


@dataclass(frozen=True, eq=False)
class SeenRows:
    """Hashes of the rows that a model was trained on.

    A row is recognised by its identity and, unless features repeat by chance, by its content: a copy under another key
    is not a new row. After n training rows, a row that was not trained on matches with a probability of about 4·n/2**40
    (two hashes looked up among 2·n), or n/2**40 without content: 4 in a million after a million rows.

    Parameters
    ----------
    hashes
        Shape (n_hashes,), uint64: sorted, distinct, below 2**40; identities and contents together.
    by_content
        Whether ``hashes`` includes contents.
    """

    hashes: Hashes
    by_content: bool

    def holds(self, row_ids: Hashes, contents: Hashes | None) -> npt.NDArray[np.bool_]:
        """Return which rows were trained on.

        Parameters
        ----------
        row_ids
            From :func:`identities`, shape (n_rows,), uint64.
        contents
            Hashes of the same rows over the features of the trained model, shape (n_rows,), uint64; None to compare
            identities only.

        Returns
        -------
        numpy.ndarray
            Shape (n_rows,), bool.
        """
        found = self._has(_cut(row_ids, IDENTITY_SALT))
        if self.by_content and contents is not None:
            found |= self._has(_cut(contents, CONTENT_SALT))
        return found

    def _has(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(hashes), dtype=bool)
        if len(self.hashes):
            # Sorted look-ups read memory in order: ten times faster among twenty million hashes.
            order = np.argsort(hashes)
            wanted = hashes[order]
            places = np.searchsorted(self.hashes, wanted)
            found[order] = self.hashes[np.minimum(places, len(self.hashes) - 1)] == wanted
        return found


def seen_rows(row_ids: Hashes, contents: Hashes | None) -> SeenRows:
    """Collect the hashes of training rows.

    Parameters
    ----------
    row_ids
        Identities of the training rows, shape (n_rows,), uint64.
    contents
        Hashes of their features, shape (n_rows,), uint64; None if rows repeat by chance, so that equal features do not
        identify a row.
    """
    known = [_cut(row_ids, IDENTITY_SALT)]
    if contents is not None:
        known.append(_cut(contents, CONTENT_SALT))
    return SeenRows(_distinct(np.concatenate(known)), by_content=contents is not None)


def rows_trained_on(rows: Rows, split: Split, config: ModelConfig) -> SeenRows:
    """Collect the hashes of a split's training rows, without contents if rows repeat by chance.

    Parameters
    ----------
    rows
        The labelled rows that were split.
    split
        Positions of the training rows.
    config
        The model file: key, time, target and features.
    """
    frame = rows.frame.take(split.train)
    contents = feature_hashes(frame, config.features.used)
    by_chance = repeats_by_chance(contents, frame[config.target].to_numpy())
    return seen_rows(identities(rows, config)[split.train], None if by_chance else contents)


def identities(rows: Rows, config: ModelConfig) -> Hashes:
    """Return the hash of each row's identity, shape (n_rows,), uint64: its row id, or row id and time.

    Time is included if the model has a time column and its keys repeat. In this case the split may place rows of one
    key on both sides of the boundary: a customer's newest month is a row of its own.
    """
    if config.key is None or config.key_is_unique or config.time is None:
        return rows.row_ids
    return scattered(rows.row_ids ^ feature_hashes(rows.frame, (config.time,)))


def _distinct(hashes: Hashes) -> Hashes:
    # numpy.unique uses a hash table, which takes twenty times as long.
    ordered = np.sort(hashes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _cut(hashes: Hashes, salt: np.uint64) -> Hashes:
    # Hashed again with a salt: an identity must not match a content, and the leading bits must be uniform.
    return scattered(hashes ^ scattered(np.array([salt], dtype=np.uint64))) >> np.uint64(64 - HASH_BITS)
