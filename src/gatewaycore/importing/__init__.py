"""Importing: files of events -> the journal, from where every sink gets them, each event once.

| room | knows |
|---|---|
| `names`, `fields`, `times`, `ids`, `packages`, `making`, `own` | what a line means, and what it becomes: no file, no clock |
| `reading`, `records` | files: lines, rows, gzip, encodings, bounds |
| `segment` | the journal: how much room there is, and that nothing is lost |
| `counters`, `ledger` | how far an import has come, and what it has counted |
| `running` | one import from its first line to its last |
"""

from __future__ import annotations

from gatewaycore.importing.ledger import Import, Ledger
from gatewaycore.importing.names import PRESETS, LineError, read_map
from gatewaycore.importing.running import ImportOptions, Watch
from gatewaycore.importing.session import BusyError, ImportSession

__all__ = ["PRESETS", "BusyError", "Import", "ImportOptions", "ImportSession", "Ledger", "LineError", "Watch", "read_map"]
