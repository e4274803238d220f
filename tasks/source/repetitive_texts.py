"""Which text columns of a Parquet file repeat their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_CODE_BYTES = 4  # maximum size of a dictionary code, per row; text that does not repeat takes its own length


def repetitive_texts(rows: pq.RowGroupMetaData, columns: Sequence[str]) -> list[str]:
    """Return the text columns to read dictionary-encoded, which costs half.

    A dictionary spans the row group, so a dictionary of text that does not repeat would be larger than the rows.
    """
    chunks = (rows.column(place) for place in range(rows.num_columns))
    texts = (chunk for chunk in chunks if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page)
    small = {text.path_in_schema for text in texts if text.total_uncompressed_size <= _CODE_BYTES * text.num_values}
    return [column for column in columns if column in small]
