"""Cursor: how far one sink has come in each segment, in a file that is replaced whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from gatewaycore.errors import GatewayError
from gatewaycore.sinks.set_aside import file_name

_log = logging.getLogger("gatewaycore.shipper")


def file_in(folder: Path, name: str) -> Path:
    """Return where in `folder` the cursor of the sink `name` is."""
    return folder / f"{file_name(name)}.json"


def read_numbers(path: Path) -> dict[str, int]:
    """Return a mapping of names to whole numbers; empty when there is no such file.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        numbers = {str(name): int(number) for name, number in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error
    if any(number < 0 for number in numbers.values()):
        raise ValueError("a number is negative")
    return numbers


def write_numbers(path: Path, numbers: Mapping[str, int]) -> None:
    """Replace the file at `path`, so that after a crash there is the old one or the new one."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w") as file:
        json.dump(numbers, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class Cursor:
    """Offsets in bytes, by the name of the segment.

    Args:
        path: the file.
        name: of the sink, for the log.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._offsets: dict[str, int] = {}
        self._is_saved = True

    @classmethod
    def of(cls, folder: Path, name: str) -> Self:
        """Return the cursor of the sink `name`, in a file of this folder."""
        return cls(file_in(folder, name), f"sink {name}")

    def load(self) -> None:
        """Read the file.

        Raises:
            GatewayError: it cannot be read. If it is another file than ours, it begins anew instead.
        """
        try:
            self._offsets = read_numbers(self._path)
        except ValueError:
            # Everything is sent again; sinks recognise what they have by its id.
            _log.warning("the cursor of %s is damaged and begins anew", self._name)
            self._offsets = {}
        except OSError as error:
            raise GatewayError(f"its cursor, {self._path.name}, cannot be read: {error.strerror}") from error
        self._is_saved = True

    def __getitem__(self, segment: str) -> int:
        return self._offsets.get(segment, 0)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget segments that there are no more."""
        for gone in self._offsets.keys() - set(names):
            del self._offsets[gone]
            self._is_saved = False

    def move(self, ends: Mapping[str, int]) -> None:
        """Come to these offsets."""
        self._offsets.update(ends)
        self._is_saved = False

    def save(self) -> None:
        """Write the file, if something has changed.

        Raises:
            GatewayError: it cannot be written.
        """
        if not self._is_saved:
            try:
                write_numbers(self._path, self._offsets)
            except OSError as error:
                raise GatewayError(f"its cursor, {self._path.name}, cannot be saved: {error.strerror}") from error
            self._is_saved = True
