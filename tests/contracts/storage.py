"""The contract of `Storage` and of the `Sink` it opens. Inherit `StorageContract`, make one, and say how to read what it holds:

class TestMemory(StorageContract):
    def make(self, folder: Path) -> Storage:
        return Memory()

    def read(self, folder: Path) -> list[bytes]:
        return Memory.lines
"""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from gatewaycore.gateway import Gateway
from gatewaycore.recorder import Recorder, Sent, decode
from gatewaycore.request import Request
from gatewaycore.rules import EventRule
from gatewaycore.salts import Salts
from gatewaycore.sinks import Storage
from gatewaycore.sinks.sifting import Sieve


def make_lines(count: int) -> list[bytes]:
    """Return lines as the recorder writes them."""
    lines: list[bytes] = []

    def append(line: bytes) -> bool:
        lines.append(line)
        return True

    recorder = Recorder(append, (), Salts(None))
    gateway = Gateway.compile(EventRule(name="e", domain="x", incoming_path="/{n}").compile())
    for number in range(count):
        outcome = gateway.decide(Request("GET", "x", f"/{number}", "text=%C3%BC%0A%22"))
        recorder.record(outcome, Sent(200))
    return lines


class StorageContract:
    """What every storage must keep."""

    exactly_once: bool = False
    """Whether a line that is written twice is held once."""

    takes_any_line: bool = False
    """Whether lines are held as they come, events or not."""

    def make(self, folder: Path) -> Storage:
        """Make settings that keep everything in `folder`, where they keep anything in files."""
        raise NotImplementedError

    def read(self, folder: Path) -> list[bytes]:
        """Return the lines that are held, each with its line break."""
        raise NotImplementedError

    def ids(self, folder: Path) -> list[str]:
        """Return the ids of what is held."""
        return [json.loads(line)["id"] for line in self.read(folder)]

    def test_settings_are_frozen(self, tmp_path: Path) -> None:
        made: Any = self.make(tmp_path)
        for field in attrs.fields(type(made)):
            with pytest.raises(FrozenInstanceError):
                setattr(made, field.name, None)

    def test_a_check_makes_nothing(self, tmp_path: Path) -> None:
        check = getattr(self.make(tmp_path), "check", None)
        assert check is None or check() is None
        assert list(tmp_path.iterdir()) == []

    def test_what_is_written_is_held_when_write_returns(self, tmp_path: Path) -> None:
        lines = make_lines(5)
        sink = self.make(tmp_path).open()
        sink.write(lines[:3])
        assert len(self.ids(tmp_path)) == 3
        sink.write(lines[3:])
        assert sorted(self.ids(tmp_path)) == sorted(json.loads(line)["id"] for line in lines)
        sink.close()

    def test_columns_are_held_as_they_are(self, tmp_path: Path) -> None:
        lines = make_lines(2)
        sink = self.make(tmp_path).open()
        sink.write(lines)
        sink.close()
        by_id = attrgetter("id")
        assert sorted(map(decode, self.read(tmp_path)), key=by_id) == sorted(map(decode, lines), key=by_id)

    def test_a_batch_may_come_twice(self, tmp_path: Path) -> None:
        lines = make_lines(3)
        sink = self.make(tmp_path).open()
        sink.write(lines)
        sink.write(lines)
        sink.close()
        found = self.ids(tmp_path)
        assert set(found) == {json.loads(line)["id"] for line in lines}
        assert len(found) == (3 if self.exactly_once else 6)

    def test_another_run_adds_to_what_is_there(self, tmp_path: Path) -> None:
        lines = make_lines(2)
        for line in lines:
            sink = self.make(tmp_path).open()
            sink.write([line])
            sink.close()
        assert len(set(self.ids(tmp_path))) == 2

    def test_what_is_no_event_is_named_and_the_others_are_held_once(self, tmp_path: Path) -> None:
        lines, poison = make_lines(4), b'{"id":"x","not":"an event"}\n'
        sink = self.make(tmp_path).open()
        refused = Sieve(sink).write([poison, *lines[:2], poison, *lines[2:]])
        sink.close()
        assert [one.line for one in refused] == ([] if self.takes_any_line else [poison, poison])
        assert sorted(one for one in self.ids(tmp_path) if one != "x") == sorted(json.loads(line)["id"] for line in lines)

    def test_nothing_and_very_much_may_be_written(self, tmp_path: Path) -> None:
        lines = make_lines(5_000)
        sink = self.make(tmp_path).open()
        sink.write([])
        sink.write(lines)
        sink.close()
        assert len(self.ids(tmp_path)) == 5_000

    def test_a_sink_that_was_never_written_to_is_closed_and_may_be_twice(self, tmp_path: Path) -> None:
        sink = self.make(tmp_path).open()
        sink.close()
        sink.close()
