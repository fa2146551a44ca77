"""Databases of addresses, written for a test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped,unused-ignore]

from gatewaycore.enrich import verdicts
from gatewaycore.enrich.copies import Copy
from gatewaycore.enrich.soundness import DamagedError, prove
from gatewaycore.enrich.verdicts import Verdict


def write_database(path: Path, records: Mapping[str, Any], ip_version: int = 6, name: str = "Test") -> Path:
    """Write networks and their records to `path`, by renaming: a process may have the file before it mapped."""
    writer = MMDBWriter(ip_version=ip_version, database_type=name, ipv4_compatible=ip_version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    draft = path.with_name(f".{path.name}.draft")
    writer.to_db_file(str(draft))
    replace(path, draft.read_bytes())
    draft.unlink()
    return path


def replace(path: Path, content: bytes | str) -> Path:
    """Put another file in the place of `path`."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(draft, path)
    return path


def prove_here(copy: Copy) -> Verdict:
    """Find out in this process what another one would: for tests that open hundreds of databases."""
    try:
        prove(copy.path)
    except DamagedError as error:
        return Verdict("damaged", str(error))
    return Verdict("sound")


@contextmanager
def proving_here() -> Iterator[None]:
    """Start no process for a database."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(verdicts, "_ask", prove_here)
        yield
