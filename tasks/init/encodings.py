"""Find the encoding of a text file that does not say which it is."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

HEAD_BYTES = 1 << 12
SAMPLE_BYTES = 1 << 16
"""Bytes of lines with other characters than ASCII that are looked at."""

OTHER_SCRIPTS = {
    "cp1251": "cp1251",
    "cp1253": "cp1253",
    "koi8_r": "koi8-r",
    "shift_jis": "shift_jis",
    "gb18030": "gb18030",
    "big5": "big5",
    "euc_kr": "euc-kr",
}
"""Encodings of other scripts than Latin, by the detector's name of each, with the name in a model file."""

_SYMBOL_IN_WORD = re.compile(r"[^\W\d_][¹²³¼½¾¿¡£¥¯][^\W\d_]|\b[¹³¿¯][^\W\d_]{2}|[^\W\d_]{2}[¹³¿¯]\b")
_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]*[^\x00-\x7f\W\d_][^\W\d_]*|[^\s,;\"]*[^\x00-\x7f][^\s,;\"]*")


def text_encoding(path: Path) -> tuple[str, str | None]:
    """Return the encoding of a text file, and a word by which a person can check it.

    UTF-8 and UTF-16 are certain. Other scripts than Latin are told by a detector. In the Latin alphabet,
    text is taken for cp1252, which contains latin-1, unless that would put symbols inside words, as it does with the
    letters of cp1250.

    Parameters
    ----------
    path
        A file that may be compressed.

    Returns
    -------
    tuple
        Name of the encoding in a model file; the first word with other letters than ASCII, None for UTF-8 and UTF-16.
    """
    import fsspec

    with fsspec.open(str(path), "rb", compression="infer") as stream:
        head = stream.read(HEAD_BYTES)
        if head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} or _has_wide_letters(head):
            return "utf-16", None
        if _is_utf8(iter(lambda: stream.read(1 << 20), b""), head):
            return "utf-8", None
        stream.seek(0)
        sample = _sample(stream)
    encoding = _guessed(sample)
    word = _WORD.search(sample.decode(encoding, errors="replace"))
    return encoding, word.group() if word else None


def _has_wide_letters(head: bytes) -> bool:
    """Return whether most letters are followed by a zero byte, as in UTF-16 without a mark."""
    return head[1::2].count(0) > len(head) // 4 and not head[::2].count(0)


def _is_utf8(blocks: Iterator[bytes], head: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head)
        for block in blocks:
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _sample(lines: Iterator[bytes]) -> bytes:
    """Join lines with other characters than ASCII, up to a size."""
    found, size = [], 0
    for line in lines:
        if not line.isascii():
            found.append(line[:SAMPLE_BYTES])
            size += len(line)
            if size >= SAMPLE_BYTES:
                break
    return b"".join(found)


def _guessed(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=[*OTHER_SCRIPTS, "cp1252"]).best()
    if best is not None and best.encoding in OTHER_SCRIPTS and _is_another_script(str(best)):
        return OTHER_SCRIPTS[best.encoding]
    return _latin(sample)


def _is_another_script(text: str) -> bool:
    """Say whether words are written in other letters than Latin; a single such letter in a word speaks against it."""
    words = [word for word in _LETTERS.findall(text) if not word.isascii()]
    whole = [word for word in words if not any(letter.isascii() for letter in word)]
    return len(whole) > 0.9 * len(words) and max(map(len, whole), default=0) >= 2


def _latin(sample: bytes) -> str:
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:  # it uses one of the five bytes that cp1252 leaves out
        return "cp1250" if _decodes(sample, "cp1250") and b"\x9d" in sample else "latin-1"
    symbols = len(_SYMBOL_IN_WORD.findall(text))
    return "cp1250" if symbols and _decodes(sample, "cp1250") else "cp1252"


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
