"""Marks: two records of one request have one id, and nothing of what was sent is in it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from gatewaycore.clientip import TrustedProxies
from gatewaycore.headers import Headers
from gatewaycore.marks import NEAR_MS, Mark

UUID4 = b"0b1a4d0e-6f51-4c1e-9d0a-3f6f0a6f8f11"
UUID7 = b"01a20263-13d1-7026-80a4-373afc7f31ec"
MS = 1_795_163_577_286


def parsed(value: bytes) -> Mark:
    found = Mark.parse(value)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (b"1795163577286-" + UUID4, MS),
        # As nginx has it: $msec-$request_id.
        (b"1795163577.286-" + UUID4.replace(b"-", b""), MS),
        (b"1795163577286-" + UUID4.upper(), MS),
        (b"1795163577286-" + UUID7, MS),
        (UUID7, 0x01A2026313D1),
        (UUID7.replace(b"-", b""), 0x01A2026313D1),
    ],
)
def test_what_is_read(value: bytes, ms: int) -> None:
    mark = parsed(value)
    assert mark.ms == ms
    made = uuid.UUID(mark.event_id().decode())
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, ms)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        # No time in it.
        UUID4,
        b"1795163577-" + UUID4,
        b"1795163577286" + UUID4,
        b"1795163577286-203.0.113.7",
        b"203.0.113.7",
        b"1795163577286-" + UUID4 + b"x",
        b"x1795163577286-" + UUID4,
        b"1795163577286-" + UUID4 + b", 1795163577286-" + UUID4,
        b"\xff" * 36,
        b"1" * 100_000,
    ],
)
def test_what_is_no_mark(value: bytes) -> None:
    assert Mark.parse(value) is None


def test_one_request_has_one_id_for_each_of_its_events() -> None:
    one, again = parsed(b"1795163577286-" + UUID4), parsed(b"1795163577.286-" + UUID4.replace(b"-", b"").upper())
    assert one == again
    ids = [one.event_id(number) for number in range(100)]
    assert ids == [again.event_id(number) for number in range(100)]
    assert len(set(ids)) == 100
    other = parsed(b"1795163577286-" + UUID4[:-1] + b"2")
    assert other.event_id() not in ids
    assert UUID4.replace(b"-", b"")[-16:] not in b"".join(ids).replace(b"-", b"")


def test_ids_sort_by_the_time_of_the_proxy() -> None:
    ids = [parsed(b"%d-%s" % (MS + number, UUID4)).event_id() for number in range(100)]
    assert ids == sorted(ids)
    assert parsed(b"1795163577286-" + UUID4).time == datetime(2026, 11, 20, 8, 32, 57, 286_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("off_ms", "expected"), [(0, True), (NEAR_MS, True), (-NEAR_MS, True), (NEAR_MS + 1, False), (-NEAR_MS - 1, False)]
)
def test_a_time_that_cannot_be_is_told(off_ms: int, expected: bool) -> None:
    assert parsed(b"1795163577286-" + UUID4).is_near((MS + off_ms) * 1_000_000) is expected


MARKED = ("X-Request-Id", f"1795163577286-{UUID4.decode()}")


@pytest.mark.parametrize(
    ("peer", "lines", "expected"),
    [
        ("10.0.0.1", [MARKED], True),
        ("10.0.0.1", [("x-request-id", f"  {MARKED[1]} ")], True),
        # Whoever is not trusted.
        ("203.0.113.7", [MARKED], False),
        ("10.0.0.1", [], False),
        # A proxy that adds its own to a client's.
        ("10.0.0.1", [MARKED, MARKED], False),
        ("10.0.0.1", [("X-Request-Id", "what a client has sent")], False),
    ],
)
def test_a_trusted_proxy_alone_marks(peer: str, lines: list[tuple[str, str]], expected: bool) -> None:
    assert (TrustedProxies.parse(("10.0.0.0/8",), "X-Request-ID").mark(peer, Headers(lines)) is not None) is expected
    assert TrustedProxies.parse(("10.0.0.0/8",)).mark(peer, Headers(lines)) is None
