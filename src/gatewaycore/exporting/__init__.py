"""Exporting: events out of the lake and the journal, each once, as CSV, NDJSON or Parquet.

| room | knows |
|---|---|
| `columns`, `selection` | what is wanted: no file, no clock |
| `sources`, `stores` | where it is read from |
| `writing` | what it is written as |
"""

from __future__ import annotations

from gatewaycore.exporting.columns import SETS, read_columns
from gatewaycore.exporting.selection import Selection, read_moment, read_where
from gatewaycore.exporting.sources import JournalSource, LakeSource, Source
from gatewaycore.exporting.stores import StoreSource
from gatewaycore.exporting.writing import Output, no_formula, pieces, write_csv, write_ndjson

__all__ = [
    "SETS",
    "JournalSource",
    "LakeSource",
    "Output",
    "Selection",
    "Source",
    "StoreSource",
    "no_formula",
    "pieces",
    "read_columns",
    "read_moment",
    "read_where",
    "write_csv",
    "write_ndjson",
]
