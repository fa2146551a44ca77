"""What is found out of a database before the reader in C is given it, and who finds out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped,unused-ignore]

from gatewaycore.enrich import verdicts
from gatewaycore.enrich.copies import Copy, open_copy
from gatewaycore.enrich.geo import GeoDatabase
from gatewaycore.enrich.soundness import DamagedError, main, prove
from gatewaycore.enrich.verdicts import Verdict, judge
from gatewaycore.errors import ConfigError
from tests.networks import replace, write_database

RECORD = {"organization": "Acme", "isp": "x", "country": "AT", "asn": "AS24940"}
NETWORKS = {"0.0.0.0/1": RECORD, "128.0.0.0/1": RECORD, "2000::/3": RECORD}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let copies lie somewhere of the test's own; return the folder."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp" / f"gatewaycore-{os.geteuid()}"


def with_byte(tmp_path: Path, at: int, byte: int) -> Path:
    path = write_database(tmp_path / "x.mmdb", NETWORKS)
    whole = path.read_bytes()
    return replace(path, whole[:at] + bytes([byte]) + whole[at + 1 :])


@pytest.mark.parametrize(("at", "byte"), [(633, 0x0D), (598, 0xC3)])
def test_what_would_end_the_process_is_refused_and_says_why(tmp_path: Path, at: int, byte: int) -> None:
    path = with_byte(tmp_path, at, byte)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"x\.mmdb: is damaged: .* \(at byte \d+\) \(download it again"):
            GeoDatabase.open(path)


@pytest.mark.parametrize("bits", [24, 28, 32])
def test_every_kind_of_tree_and_value_is_sound(tmp_path: Path, bits: int, capfd: pytest.CaptureFixture[str]) -> None:
    import maxminddb

    writer = MMDBWriter(ip_version=6, ipv4_compatible=True)
    record: dict[str, Any] = {"n": -7, "f": 1.5, "t": True, "l": ["a" * 300, {"b": "ü" * 40_000}], "u": 2**63, "w": 2**100, "e": {}}
    for number in range(600):
        writer.insert_network(IPSet([f"10.{number // 200}.{number % 200}.0/24"]), {**record, "x": number})
    path = tmp_path / "x.mmdb"
    writer.to_db_file(str(path))
    prove(str(path))
    main([str(path), str(Path(maxminddb.__file__).parent.parent)])
    assert capfd.readouterr().out == "sound"


def test_one_finds_out_and_the_others_remember(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_database(tmp_path / "x.mmdb", NETWORKS)
    asked = []
    ask = verdicts._ask

    def counted(copy: Copy) -> Verdict:
        asked.append(copy)
        return ask(copy)

    monkeypatch.setattr(verdicts, "_ask", counted)
    for _ in range(3):
        with open_copy(str(path)) as copy:
            assert judge(copy).state == "sound"
    assert len(asked) == 1
    (kept,) = temporary.glob("*.verdict")
    kept.write_text(json.dumps({"about": []}))
    GeoDatabase.open(path).close()
    write_database(path, {"0.0.0.0/1": {"country": "GB"}})
    GeoDatabase.open(path).close()
    assert len(asked) == 3


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(11, "Resource temporarily unavailable")


def dawdle(command: Any, *_: Any, **__: Any) -> Any:
    raise subprocess.TimeoutExpired(command, 1)


@pytest.mark.parametrize(("run", "why"), [(refuse, "no process can be started"), (dawdle, "takes longer than 60 s")])
def test_where_nobody_can_find_out_the_slower_reader_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any], why: str
) -> None:
    monkeypatch.setattr(subprocess, "run", run)
    path = with_byte(tmp_path, 633, 0x0D)
    with pytest.raises(ConfigError, match="is damaged"):
        GeoDatabase.open(path)
    database = GeoDatabase.open(write_database(tmp_path / "y.mmdb", NETWORKS))
    assert why in str(database.note())
    assert database.lookup("1.2.3.4") is not None


@pytest.mark.parametrize(
    ("status", "said", "state"),
    [(-11, "", "damaged"), (-9, "", "unknown"), (-77, "", "unknown"), (0, "", "unknown"), (1, "", "unknown"), (0, "sound", "sound")],
)
def test_what_the_end_of_the_program_means(status: int, said: str, state: str) -> None:
    assert verdicts._understood(status, said, 1.0).state == state


def test_an_embedder_is_not_started_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")
    database = GeoDatabase.open(write_database(tmp_path / "x.mmdb", NETWORKS))
    assert "no interpreter" in str(database.note())


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("<html>")
    with pytest.raises(DamagedError, match="is not a MaxMind DB file"):
        prove(str(tmp_path / "x"))
