"""Spare: what was last served of what is made in the console, on the node's own disk, for when the state database cannot be reached.

It is what the database has said, and nothing is worked out of it anew: a node that is started meanwhile serves what it served before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from gatewaycore.access import Kind

SPARE: Final = "made.json"
"""Where, under the data-dir, it lies."""


@frozen
class Made:
    """What was served.

    Attributes:
        version: the number of the database's that it had.
        definitions: packages and collections, each with its kind.
        names: domains that organisations hold.
    """

    version: int
    definitions: Sequence[tuple[Kind, Mapping[str, Any]]]
    names: frozenset[str]


class Spare:
    """The file. Processes of a node share it, and all of them write the same.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def is_there(self) -> bool:
        """Whether there is one."""
        return self._path.exists()

    def read(self) -> Made | None:
        """Return what was served; None where that was never kept, or cannot be read."""
        try:
            found = json.loads(self._path.read_bytes())
            return Made(found["version"], [(kind, dict(keys)) for kind, keys in found["definitions"]], frozenset(found["names"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep(self, made: Made) -> None:
        """Keep what is served now, unless it is there already. It is readable by its owner only: there may be credentials in it.

        Raises:
            OSError: it cannot be written.
        """
        held = {"version": made.version, "definitions": list(made.definitions), "names": sorted(made.names)}
        body = json.dumps(held, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
        with suppress(OSError):
            if self._path.read_bytes() == body:
                return
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(body)
            file.flush()
            # Renamed before it is on the disk, it may be empty after a power cut.
            os.fsync(file.fileno())
        os.replace(draft, self._path)
