"""Every sink keeps the contract of storages."""

from __future__ import annotations

from pathlib import Path

from gatewaycore.sinks import SINKS, JsonlStorage, Storage
from tests.contracts.storage import StorageContract


class TestJsonl(StorageContract):
    def make(self, folder: Path) -> Storage:
        return JsonlStorage(str(folder / "out.jsonl"))

    def read(self, folder: Path) -> list[bytes]:
        return (folder / "out.jsonl").read_bytes().splitlines(keepends=True)


def test_the_whole_roster_is_held_to_the_contract(tmp_path: Path) -> None:
    assert {type(contract().make(tmp_path)) for contract in (TestJsonl,)} == set(SINKS.values())
