"""Synthetic events: believable, and the same for the same seed."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import msgspec

from gatewaycore.recorder import decode, encode
from gatewaycore.synthetic import Scene

SMALL = Scene(3_000, first=date(2026, 1, 20), days=21, packages=12, callers=300, companies=20)


def lines(scene: Scene) -> list[bytes]:
    return [line for day in scene.days_of_lines() for line in day]


def test_a_seed_says_it_all() -> None:
    assert lines(SMALL) == lines(SMALL)
    assert lines(SMALL) != lines(Scene(3_000, 2, SMALL.first, SMALL.days, SMALL.packages, SMALL.callers, SMALL.companies))


def test_lines_are_those_of_a_recorder_and_no_id_comes_twice() -> None:
    written = lines(SMALL)
    assert len(written) == 3_000
    events = [decode(line) for line in written]
    assert [msgspec.json.decode(line) for line in written] == [msgspec.json.decode(encode(event)) for event in events]
    assert len({event.id for event in events}) == 3_000
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert [event.id[:13] for event in events] == sorted(event.id[:13] for event in events)


def test_it_looks_like_somebodys_downloads() -> None:
    events = [decode(line) for line in lines(SMALL)]
    assert {event.time.date() for event in events} == {SMALL.first + timedelta(days=number) for number in range(SMALL.days)}
    weekly = Counter(event.time.weekday() >= 5 for event in events)
    assert weekly[True] < weekly[False] / 3
    popular = Counter(event.package for event in events).most_common()
    assert popular[0][0] == "acme/tool-0"
    assert popular[0][1] > 2 * popular[3][1]
    # Whoever comes back has the same identifier, for a month.
    months = {month: {event.origin_id for event in events if event.time.month == month} for month in (1, 2)}
    assert 0 < len(months[1]) < sum(event.time.month == 1 for event in events)
    assert not months[1] & months[2]
    for column in ("country", "company", "version", "platform", "agent_reason", "os", "page"):
        seen = {getattr(event, column) for event in events}
        assert None in seen
        assert len(seen) > 1
