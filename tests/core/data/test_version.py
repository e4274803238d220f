from __future__ import annotations

import doctest

import pytest

import core.data.version
from core.data.version import (
    EMPTY,
    batch_file_name,
    batch_number,
    model_files,
    pointer_text,
    pointer_version,
    tree_bytes,
    tree_files,
    tree_version,
    with_model_files,
)

MD5 = "0cc175b9c0f1b6a831c399e269772661"


def test_examples() -> None:
    """The examples in the docstrings hold."""
    assert doctest.testmod(core.data.version).failed == 0


@pytest.mark.parametrize("paths", [(), ("a.parquet",), ("credit/b c.parquet", "credit/ä.parquet", "churn/a.parquet")])
def test_a_version_is_what_dvc_computes(paths: tuple[str, ...]) -> None:
    """DVC's own tree has the same hash and the same bytes, for blanks and letters beyond ASCII too."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for path in paths:
        tree.add(tuple(path.split("/")), Meta(), HashInfo("md5", MD5))
    tree.digest()
    files = dict.fromkeys(paths, MD5)
    assert tree_version(files) == tree.hash_info.value
    assert tree_bytes(files) == tree.as_bytes()
    assert tree_files(tree_bytes(files)) == files


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b'{"md5": "x"}',
        b'[{"md5": "x"}]',
        b'[{"md5": "0cc175b9c0f1b6a831c399e269772661", "relpath": "../../etc/passwd"}]',
        b'[{"md5": "0cc175b9c0f1b6a831c399e269772661", "relpath": "/etc/passwd"}]',
        b'[{"md5": "../../x", "relpath": "a"}]',
        b"[3]",
    ],
)
def test_a_tree_object_that_is_none_is_refused(content: bytes) -> None:
    """A remote may be written by others: neither nonsense nor paths that leave the folder are taken."""
    with pytest.raises(ValueError, match=r"expected|Expecting|has no"):
        tree_files(content)


def test_one_models_entries() -> None:
    """Replacing a model's entries leaves those of others alone, of a model whose name begins alike too."""
    files = {"credit/a": MD5, "credit/b": MD5, "credit-cards/a": MD5}
    assert model_files(files, "credit") == {"a": MD5, "b": MD5}
    assert with_model_files(files, "credit", {"c": MD5}) == {"credit-cards/a": MD5, "credit/c": MD5}
    assert with_model_files(files, "credit", {}) == {"credit-cards/a": MD5}


def test_names_of_batches_order_them() -> None:
    """A name gives its number back; other names have none."""
    assert batch_file_name(7, "abcdef0123456789") == "0007-abcdef012345.parquet"
    assert batch_number(batch_file_name(12345, "abcdef0123456789")) == 12345
    assert batch_number("mine.parquet") is None


def test_the_pointer_names_one_version() -> None:
    """A pointer gives its version back; conflicts and other content give none."""
    text = pointer_text(EMPTY, 0, 0)
    assert pointer_version(text) == EMPTY
    assert "size" not in pointer_text(EMPTY, None, 3)
    assert pointer_version(text + text) is None
    assert pointer_version("outs: []\n") is None
