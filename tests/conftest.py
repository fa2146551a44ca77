"""Servers that several kinds of tests want: started when the first one does, once for each process of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server
