"""Ids of events."""

from __future__ import annotations

import gc
import os
import sys
import threading
import uuid

import pytest

from gatewaycore import ids
from gatewaycore.ids import Ids
from gatewaycore.recorder import Recorder
from gatewaycore.salts import Salts


def test_ids_are_uuids_of_version_7_unique_and_in_order() -> None:
    maker = Ids()
    # Ten a millisecond, and then very many in one.
    texts = [maker.make(1_700_000_000_000_000_000 + number * 100_000) for number in range(100_000)]
    texts += [maker.make(1_800_000_000_000_000_000) for _ in range(100_000)]
    assert len(set(texts)) == 200_000
    assert texts == sorted(texts)
    for text in texts[::997]:
        made = uuid.UUID(text.decode())
        assert str(made) == text.decode()
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert uuid.UUID(texts[0].decode()).int >> 80 == 1_700_000_000_000
    assert uuid.UUID(texts[-1].decode()).int >> 80 == 1_800_000_000_000


def test_ids_are_unique_over_recorders_and_clocks_that_go_back() -> None:
    one, two = Ids(), Ids()
    times = [5_000_000, 9_000_000, 5_000_000, 5_000_001]
    assert len({maker.make(now) for maker in (one, two) for now in times}) == 8


def test_ids_are_unique_over_threads() -> None:
    maker, found = Ids(), []
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def make(name: int) -> None:
        found.append([maker.make(number // 10 * 1_000_000) for number in range(5_000)])

    try:
        threads = [threading.Thread(target=make, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert len({text for texts in found for text in texts}) == 20_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_ids_are_unique_over_a_fork() -> None:
    maker = Ids()
    now = 1_700_000_000_000_000_000
    maker.make(now)
    read, write = os.pipe()
    children = []
    for _ in range(3):
        child = os.fork()
        if not child:
            os.write(write, b"".join(maker.make(now) + b"\n" for _ in range(10)))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = pipe.read().splitlines()
    found += [maker.make(now) for _ in range(10)]
    assert len(set(found)) == 40


def test_whoever_forgets_begins_anew() -> None:
    maker = Ids()
    first = maker.make(1_000_000)
    maker.forget()
    assert maker.make(1_000_000)[:-12] != first[:-12]


def test_a_recorder_leaves_nothing_behind() -> None:
    """Whoever simulates makes one for every request."""
    gc.collect()
    before = len(ids._makers())
    for _ in range(100):
        Recorder(lambda _: True, (), Salts(None))
    gc.collect()
    assert len(ids._makers()) <= before
