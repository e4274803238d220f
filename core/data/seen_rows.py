"""What a model has trained on, as a compact set of hashes that its bundle keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from config.schema import ModelConfig
from core.data.rows import Rows
from core.data.split import Hashes, Split, feature_hashes, repeats_by_chance, scattered

HASH_BITS = 40
"""Bits kept of a hash: 64 cost twice the space; with 32, one new row in 500 would pass for seen after two million."""

IDENTITY_SALT = np.uint64(0x1D)
CONTENT_SALT = np.uint64(0xC0)


@dataclass(frozen=True, eq=False)
class SeenRows:
    """Hashes of the rows a model has trained on.

    A row is known by its identity and, unless features repeat by chance, by its content: a copy under another key is
    no new row. A row that was not trained on is taken for one that was with a chance of about 4·n/2**40 after n
    training rows (two hashes looked up among 2·n), n/2**40 where content is left out: 4 in a million after a million.

    Parameters
    ----------
    hashes
        Sorted, distinct, below 2**40; identities and contents together, shape (n_hashes,).
    by_content
        Whether contents are among them.
    """

    hashes: Hashes
    by_content: bool

    def holds(self, row_ids: Hashes, contents: Hashes | None) -> npt.NDArray[np.bool_]:
        """Tell which rows were trained on, shape (n_rows,).

        Parameters
        ----------
        row_ids
            From :func:`identities`, shape (n_rows,).
        contents
            Hashes of the same rows over the features of the model that has trained; None: identity alone decides.
        """
        found = self._has(_cut(row_ids, IDENTITY_SALT))
        if self.by_content and contents is not None:
            found |= self._has(_cut(contents, CONTENT_SALT))
        return found

    def _has(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(hashes), dtype=bool)
        if len(self.hashes):
            # Looked up in order, memory is read in order: ten times faster among twenty million.
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
        Identities of the training rows, shape (n_rows,).
    contents
        Hashes of their features; None where rows repeat by chance, so that equal features prove nothing.
    """
    known = [_cut(row_ids, IDENTITY_SALT)]
    if contents is not None:
        known.append(_cut(contents, CONTENT_SALT))
    return SeenRows(_distinct(np.concatenate(known)), by_content=contents is not None)


def rows_trained_on(rows: Rows, split: Split, config: ModelConfig) -> SeenRows:
    """Collect the hashes of a split's training rows, content left out where the split takes repeats for chance."""
    frame = rows.frame.take(split.train)
    contents = feature_hashes(frame, config.features.used)
    by_chance = repeats_by_chance(contents, frame[config.target].to_numpy())
    return seen_rows(identities(rows, config)[split.train], None if by_chance else contents)


def identities(rows: Rows, config: ModelConfig) -> Hashes:
    """Hash of who each row is, shape (n_rows,): its row id; with a time and a key that repeats, both together.

    There the split lets one key stand on either side of the boundary: a customer's newest month is a row of its own.
    """
    if config.key is None or config.key_is_unique or config.time is None:
        return rows.row_ids
    return scattered(rows.row_ids ^ feature_hashes(rows.frame, (config.time,)))


def _distinct(hashes: Hashes) -> Hashes:
    # numpy.unique goes through a hash table, which takes twenty times as long.
    ordered = np.sort(hashes)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def _cut(hashes: Hashes, salt: np.uint64) -> Hashes:
    # Scattered anew under a salt: an identity must not be confused with a content, and the leading bits must be even.
    return scattered(hashes ^ scattered(np.array([salt], dtype=np.uint64))) >> np.uint64(64 - HASH_BITS)
