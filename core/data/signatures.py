"""Name the format of a file that is neither CSV nor Parquet by its first bytes, and what to do with it."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib

SAVE = "save the table as CSV or Parquet"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"PAR1\x15",
        "is a Parquet file: set source.kind to parquet, or let the name of an --input or --from end in .parquet",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"is an Excel workbook (.xls) or another Office file: {SAVE}"),
    (b"\x28\xb5\x2f\xfd", "is compressed by Zstandard: let its name end in .zst"),
    (b"ARROW1\0\0", f"is an Arrow or Feather file: {SAVE}"),
    (b"FEA1\0", f"is a Feather file: {SAVE}"),
    (b"Obj\x01", f"is an Avro file: {SAVE}"),
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file: {SAVE}"),
    (b"SQLite format 3\0", "is an SQLite database: set source.kind to sql, with uri sqlite:///PATH and a query"),
    (b"\x93NUMPY", f"is a NumPy array: {SAVE}"),
    (b"$FL2@(#)", f"is an SPSS file: {SAVE}"),
    (b"$FL3@(#)", f"is an SPSS file: {SAVE}"),
    (b"<stata_dta>", f"is a Stata file: {SAVE}"),
    (b"\0" * 12 + b"\xc2\xea\x81\x60", f"is a SAS data set: {SAVE}"),
    (b"HEADER RECORD*******LIB", f"is a SAS transport file: {SAVE}"),
    (b"%PDF-", "is a PDF document: a table in it must be exported as CSV"),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file: run 'git lfs pull'"),
)
_CONTROL = bytes([*range(1, 9), *range(14, 27), 127])
"""Control characters but zero (half of UTF-16's bytes), white space, and the separators that old formats use."""

MAX_CONTROL_SHARE = 0.01
"""Share of control characters from which a file is taken for no text. Of random bytes they are 9 %."""

_PICKLE = re.compile(rb"\x80[\x02-\x05][\x95c}\](\x8c]")
_R = re.compile(rb"RD[AXB][23]\n|[XB]\n\x00\x00\x00[\x02\x03]|A\n[23]\n\d{6}\n\d{6}\n")
_ORC = re.compile(rb"ORC.?[\x00-\x08\x0e-\x1f]", re.DOTALL)
_STATA = re.compile(rb"[\x69-\x73][\x01\x02]\x01\x00")
_ARFF = re.compile(rb"\s*(%[^\n]*\n\s*)*@relation\s", re.IGNORECASE)
_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html|head)", re.IGNORECASE | re.DOTALL)
_XML = re.compile(rb"\s*<\?xml\s")
_JSON = re.compile(rb'\s*(\[\s*)?\{\s*("[^"\n]*"\s*:|\})')
_TAR = slice(257, 263)
_DUCKDB = slice(8, 20)


def foreign_format(head: bytes) -> str | None:
    r"""Return what a file is by its first bytes and what to do, for a sentence after its name; None if it may be CSV.

    Examples
    --------
    >>> foreign_format(b"\x93NUMPY...")
    'is a NumPy array: save the table as CSV or Parquet'
    >>> foreign_format(b"name,age\nada,36\n")
    """
    for magic, sentence in _MAGIC:
        if head.startswith(magic):
            return sentence
    return _archive(head) or _compressed(head) or _written_by_a_program(head) or _markup(head)


def not_text(head: bytes) -> str | None:
    r"""Return why a file is no text in any encoding, for a sentence after its name; None if it may be one.

    Parameters
    ----------
    head
        First bytes of a file that is in none of the encodings with several bytes for each letter.

    Examples
    --------
    >>> not_text("na\u00efve,1\n".encode("latin-1"))
    >>> not_text(bytes(range(256)))[:71]
    'is not a table in text: 22 of its first 256 bytes are control character'
    """
    n_control = len(head) - len(head.translate(None, _CONTROL))
    if n_control <= MAX_CONTROL_SHARE * len(head):
        return None
    return (
        f"is not a table in text: {n_control:,} of its first {len(head):,} bytes are control characters; check that it "
        "is the right file, whole and not encrypted. If it is UTF-16 text, set source.encoding: utf-16"
    )


def _archive(head: bytes) -> str | None:
    if head[_TAR] in (b"ustar\0", b"ustar "):
        return "is a tar archive: unpack it"
    if not head.startswith(b"PK\x03\x04"):
        return None
    if b"application/vnd.oasis.opendocument" in head[:200]:
        return f"is an OpenDocument spreadsheet: {SAVE}"
    if b"[Content_Types].xml" in head or b"xl/" in head or b"docProps/" in head:
        return f"is an Excel workbook: {SAVE}"
    if b".npy" in head[:200]:
        return f"is an archive of NumPy arrays: {SAVE}"
    return "is a ZIP archive: let its name end in .zip if it contains one CSV file, otherwise unpack it"


def _compressed(head: bytes) -> str | None:
    """Name a compressed file by its contents where they are known: R and tar compress without saying so."""
    decompressors = (
        (rb"\x1f\x8b", "gzip", ".gz", lambda: zlib.decompressobj(31)),
        (rb"BZh[1-9]1AY&SY", "bzip2", ".bz2", bz2.BZ2Decompressor),
        (rb"\xfd7zXZ\x00", "xz", ".xz", lzma.LZMADecompressor),
    )
    for magic, program, ending, decompressor in decompressors:
        if re.match(magic, head):
            inside = _beginning(decompressor(), head)
            return (
                _archive(inside)
                or _written_by_a_program(inside)
                or (f"is compressed by {program}: let its name end in {ending}")
            )
    return None


def _beginning(decompressor: zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor, head: bytes) -> bytes:
    try:
        return decompressor.decompress(head, 1024)
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return b""


def _written_by_a_program(head: bytes) -> str | None:
    if _R.match(head):
        return "is R's own format (RDS or RData): write the table in R with write.csv or arrow::write_parquet"
    if _PICKLE.match(head):
        return f"is a Python pickle, which is never loaded because it can run code: {SAVE}"
    if _ORC.match(head):
        return f"is an ORC file: {SAVE}"
    # A small version in eight bytes follows; the four letters alone may stand in a list of ducks.
    if re.fullmatch(rb"DUCK.{4}\0{4}", head[_DUCKDB], re.DOTALL):
        return f"is a DuckDB database: {SAVE}"
    return f"is a Stata file: {SAVE}" if _STATA.match(head) else None


def _markup(head: bytes) -> str | None:
    head = head.removeprefix(b"\xef\xbb\xbf")
    if _ARFF.match(head):
        return "is an ARFF file: write the names of its @attribute lines as the first line, and the rows of @data below"
    if _PAGE.match(head):
        return "is a web page, not the file: download the file itself (on GitHub, its 'raw' address)"
    if _XML.match(head):
        return f"is XML: {SAVE}"
    return f"is JSON: {SAVE}" if _JSON.match(head) else None
