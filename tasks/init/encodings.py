"""Find the encoding of a text file that does not say which it is."""

# ruff: noqa: RUF001 - letters and symbols of other alphabets are what is looked for here

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from core.data.signatures import not_text
from core.errors import SourceError
from core.text import short

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
    "euc_jp": "euc-jp",
}
"""Encodings of other scripts than Latin, by the detector's name of each, with the name in a model file."""

LATIN = {
    "cp1252": 0.0,
    "cp1250": 0.1,
    "iso-8859-15": 0.11,
    "iso-8859-2": 0.12,
    "cp1254": 0.13,
    "cp1257": 0.14,
    "cp850": 0.15,
    "mac-roman": 0.16,
}
"""Encodings of the Latin alphabet, with how much stranger the words in the usual one must be."""

RARE = "Icelandic"
"""Its letters are where other encodings have the letters of Turkish, which is far more frequent."""

ALPHABETS = {
    name: frozenset(letters)
    for name, letters in {
        "Croatian": "čćđšž",
        "Czech and Slovak": "áäčďéěíĺľňóôŕřšťúůýž",
        "Dutch": "áèéëïóöü",
        "Estonian": "äõöüšž",
        "French": "àâæçèéêëîïôœùûüÿ",
        "German": "äöüß",
        "Hungarian": "áéíóöőúüű",
        RARE: "áéíóúýðþæö",
        "Italian": "àèéìíîòóù",
        "Latvian": "āčēģīķļņšūž",
        "Lithuanian": "ąčęėįšųūž",
        "Nordic": "åäöæøéü",
        "Polish": "ąćęłńóśźż",
        "Portuguese": "àáâãçéêíóôúü",
        "Romanian": "ăâîşţșț",
        "Spanish": "áàçéèíïñóòúü",
        "Turkish": "çğıiöşüâîû",
    }.items()
}
"""Other letters than ASCII of the languages in the Latin alphabet."""

MAX_WORDS = 2000
MIN_UTF8 = 10
"""Minimum number of letters in UTF-8 for each wrong byte in a damaged file."""

_MISPLACED = re.compile(
    r"[^\W\d_][^\w\x00-\x7f’‘·–—…\xad][^\W\d_]"  # a symbol between two letters
    r"|[£¥](?=[^\W\d_])|[½¼¾](?=[^\W\d_])|[^\W\d_][½¼¾]"
    r"|[¤¦¬¯¨´¸¹¶†‡ˆ˜‰‹›ƒ\u02c7\u02d8-\u02dd\u2500-\u25ff∂∑∏π∫Ω≈∆◊]"
)
_NOT_ROMANCE = re.compile(r"ç[^\W\d_aouáâãóôú]", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]+")
_WORD = re.compile(r"[^\W\d_]*[^\x00-\x7f\W\d_][^\W\d_]*|[^\s,;\"]*[^\x00-\x7f][^\s,;\"]*")


def text_encoding(path: Path) -> tuple[str, str | None]:
    """Return the encoding of a text file, and a word by which a person can check it.

    UTF-8, UTF-16 and UTF-32 are certain. Other scripts than Latin are told by a detector. In the Latin alphabet, text
    is taken for cp1252, which contains latin-1, unless clearly more words are of a language in another encoding.

    Parameters
    ----------
    path
        A file that may be compressed.

    Returns
    -------
    tuple
        Name of the encoding in a model file; the first word with other letters than ASCII, None where it is certain.

    Raises
    ------
    SourceError
        It is UTF-8 apart from a few bytes, or no text.
    """
    import fsspec

    with fsspec.open(str(path), "rb", compression="infer") as stream:
        head = stream.read(HEAD_BYTES)
        if wide := _wide(head):
            return wide, None
        if _is_utf8(iter(lambda: stream.read(1 << 20), b""), head):
            return "utf-8", None
        if problem := not_text(head):
            raise SourceError(f"--data: {path} {problem}")
        stream.seek(0)
        sample = _sample(stream)
    _refuse_damaged(path, sample)
    encoding = _guessed(sample)
    word = _WORD.search(sample.decode(encoding, errors="replace"))
    return encoding, word.group() if word else None


def _wide(head: bytes) -> str | None:
    """Return the encoding of text with several bytes for each letter, by its mark or by the zeros in most letters."""
    if head[:4] in {codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE}:
        return "utf-32"
    if head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return "utf-16"
    high, low = head[::2].count(0), head[1::2].count(0)
    if min(high, low) > 0 or max(high, low) <= len(head) // 4:
        return None
    return "utf-16-be" if high else "utf-16-le"


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


def _refuse_damaged(path: Path, sample: bytes) -> None:
    """Refuse text of which nearly all other letters than ASCII are UTF-8: other encodings have no such sequences."""
    text = sample.decode("utf-8", errors="replace")
    n_wrong = text.count("\ufffd")
    if sum(not letter.isascii() for letter in text) - n_wrong < MIN_UTF8 * n_wrong:
        return
    if n_wrong == 0:  # they are behind the sample
        raise SourceError(
            f"--data: {path} is UTF-8 in its first lines with other letters than ASCII, and not in later ones; correct "
            "the text, or save the file as UTF-8"
        )
    line = next(line for line in text.splitlines() if "\ufffd" in line)
    plural = "" if n_wrong == 1 else "s"
    raise SourceError(
        f"--data: {path} is UTF-8 apart from {n_wrong} byte{plural}, such as in {short(line)}; correct the text, or "
        "save the file as UTF-8"
    )


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
    """Return the encoding of the Latin alphabet in which most words are of a language, the usual one if in doubt."""
    words = list(dict.fromkeys(re.findall(rb"[^\s,;\"|()\[\]{}]*[\x80-\xff][^\s,;\"|()\[\]{}]*", sample)))[:MAX_WORDS]
    costs = {name: doubt + _cost(words, name) for name, doubt in LATIN.items()}
    best = min(costs, key=lambda name: costs[name])
    # latin-1 has a character for each byte.
    return best if costs[best] < math.inf else "latin-1"


def _cost(words: Sequence[bytes], encoding: str) -> float:
    """Return how strange the words are, 0 to 1.25: of no language, of a rare one, or of several."""
    try:
        texts = [word.decode(encoding) for word in words]
    except UnicodeDecodeError:
        return math.inf
    if any("\x80" <= letter <= "\x9f" for text in texts for letter in text):
        return math.inf
    languages = [_languages(text) for text in texts]
    is_rare = all(RARE in found for found in languages) and any(set("áéíúæ") & set(text.lower()) for text in texts)
    rare = 0.0 if is_rare else 0.5
    strange = sum(1.0 if not found else rare if found == {RARE} else 0.0 for found in languages)
    most = max((sum(name in found for found in languages) for name in ALPHABETS), default=0)
    return (strange + 0.25 * (len(texts) - most)) / len(texts)


def _languages(word: str) -> frozenset[str]:
    """Return the languages whose alphabet has all letters of a word, none if its symbols or capitals are misplaced."""
    if _MISPLACED.search(word) or any(
        after.isupper() and not after.isascii() and before.islower() for before, after in pairwise(word)
    ):
        return frozenset()
    # In Portuguese, õ stands before e only; in Romance languages, ç stands before a, o and u.
    letters = {letter.lower()[0] for letter in word.replace("õe", "") if letter.isalpha() and not letter.isascii()}
    letters -= set("\u00b5ªº")
    known = {"Turkish"} if _NOT_ROMANCE.search(word) else ALPHABETS
    return frozenset(name for name in known if letters <= ALPHABETS[name])
