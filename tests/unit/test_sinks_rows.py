"""What the sinks share: lines -> events, and parts of a batch."""

from __future__ import annotations

import pytest

from gatewaycore.errors import PoisonError
from gatewaycore.recorder import encode
from gatewaycore.sinks.rows import Parts, batch_key, check_name, check_positive, pair
from tests.events import lines_of, make_event, make_events

GOOD = make_event()
TORN = [
    b"\n",
    b'{"id":"x\n',
    b"[]\n",
    b'{"id":"\xff"}\n',
    encode(make_event(id="nobody")),
    encode(GOOD).replace(b'Z"', b'"', 1),
]


def test_events_come_in_their_order() -> None:
    other = make_event()
    assert pair([encode(other), encode(GOOD)]) == [(encode(other), other), (encode(GOOD), GOOD)]


def test_what_is_no_event_is_named_and_never_shown() -> None:
    with pytest.raises(PoisonError, match=r"^no event: a column is missing that every event has, or is of another type$") as caught:
        pair([*TORN[:3], encode(GOOD), *TORN[3:]])
    assert caught.value.lines == (0, 1, 2, *range(4, len(TORN) + 1))


def test_a_batch_has_a_key_of_its_own() -> None:
    assert batch_key(["a", "b"]) == batch_key(["a", "b"]) != batch_key(["b", "a"])
    assert len(batch_key([])) == 32


def test_a_batch_that_comes_again_is_cut_as_before() -> None:
    pairs = pair(lines_of(make_events(12)))
    parts = Parts(4, 1_000_000)
    first = parts.cut(pairs[:10])
    assert [len(part.pairs) for part in first] == [4, 4, 2]
    first[0].sent = first[2].sent = first[2].taken = True
    first[1].sent = True
    again = parts.cut(pairs)
    assert [(len(part.pairs), part.taken) for part in again] == [(4, False), (4, False), (2, True), (2, False)]
    assert [part.key for part in again[:3]] == [part.key for part in first]
    assert [len(part.pairs) for part in parts.cut(pairs[1:])] == [4, 4, 3]
    parts.forget()
    assert parts.cut([]) == []


def test_parts_are_as_large_as_they_may_be() -> None:
    pairs = pair(lines_of([make_event(), make_event(version="x" * 1000), make_event(), make_event()]))
    assert [len(part.pairs) for part in Parts(3, 1000).cut(pairs)] == [1, 1, 1, 1]
    assert [len(part.pairs) for part in Parts(3, 10_000).cut(pairs)] == [3, 1]


def test_settings_are_checked() -> None:
    check_name(None, None, "events_2")
    check_positive(None, None, 0.1)
    for name in ("", "2x", 'a"b', "x" * 49, "é"):
        with pytest.raises(ValueError, match="is not a name"):
            check_name(None, None, name)
    for number in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="is not more than 0"):
            check_positive(None, None, number)
