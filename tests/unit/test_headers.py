"""Headers: case, repeated lines, and what may be forwarded."""

from __future__ import annotations

import pytest

from gatewaycore.headers import HOP_BY_HOP, Headers, end_to_end, length

ACCEPT = Headers([("Accept", "a/b"), ("Host", "x"), ("ACCEPT", " c/d\t")])


def test_repeated_lines_stay_apart_and_in_order() -> None:
    assert ACCEPT.get_all("accept") == ["a/b", "c/d"]
    assert list(ACCEPT.items()) == [("accept", "a/b"), ("host", "x"), ("accept", "c/d")]
    assert list(ACCEPT) == ["accept", "host", "accept"]
    assert len(ACCEPT) == 3


@pytest.mark.parametrize("name", ["accept", "Accept", "ACCEPT"])
def test_a_name_is_found_in_any_case(name: str) -> None:
    assert ACCEPT.get(name) == ACCEPT[name] == "a/b"
    assert name in ACCEPT


def test_the_first_of_repeated_lines_wins() -> None:
    assert ACCEPT.first(b"accept") == b"a/b"
    # The index is made once and asked again.
    assert ACCEPT.first(b"host") == b"x"


def test_what_is_not_there() -> None:
    assert ACCEPT.get("x-none") is None
    assert ACCEPT.get_all("x-none") == []
    assert "x-none" not in ACCEPT
    assert 1 not in ACCEPT
    with pytest.raises(KeyError, match="x-none"):
        ACCEPT["x-none"]


@pytest.mark.parametrize(
    ("lines", "raw"),
    [
        ((), []),
        ({"A": "1"}, [(b"a", b"1")]),
        ([("X-Ü", "ü")], [(b"x-\xfc", b"\xfc")]),
        # What no header can hold is replaced, not raised.
        ([("x-€", "€")], [(b"x-?", b"?")]),
    ],
)
def test_raw(lines: dict[str, str], raw: list[tuple[bytes, bytes]]) -> None:
    assert Headers(lines).raw == raw


def test_a_servers_list_is_taken_as_it_is() -> None:
    raw = [(b"host", b"x"), (b"accept", b"\xff")]
    headers = Headers.from_raw(raw)
    assert headers.raw is raw
    assert headers.get("accept") == "ÿ"
    assert headers.get("x-€") is None


def test_equality_and_repr() -> None:
    assert Headers({"A": "1"}) == Headers([("a", "1")]) != Headers({"a": "2"})
    assert Headers() != {}
    assert repr(Headers({"A": "1"})) == "Headers([('a', '1')])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Headers())


def test_without() -> None:
    assert list(ACCEPT.without(frozenset({b"accept"}))) == ["host"]


def test_end_to_end_leaves_out_what_concerns_the_connection() -> None:
    named = [("connection", "close, X-Mine"), ("CONNECTION", "x-other"), ("x-mine", "1"), ("X-Other", "2"), ("accept", "*/*")]
    hop = [(name.decode(), "x") for name in HOP_BY_HOP]
    assert list(end_to_end(Headers([*named, *hop]))) == ["accept"]


@pytest.mark.parametrize("name", ["proxy-foo", "Proxy-Authentication-Info", "HTTP2-Settings", "X_Real_IP", "Transfer_Encoding", "_"])
def test_end_to_end_leaves_out_what_could_pass_for_another(name: str) -> None:
    assert list(end_to_end(Headers([(name, "x"), ("x-proxy", "1")]))) == ["x-proxy"]


def test_end_to_end_leaves_out_a_length_that_is_not_the_bodys() -> None:
    lines = [("Content-Length", "50"), ("X", "1")]
    assert list(end_to_end(Headers(lines))) == ["content-length", "x"]
    assert list(end_to_end(Headers([*lines, ("Transfer-Encoding", "chunked")]))) == ["x"]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"0", 0),
        (b"000", 0),
        (b"0000000000000000000060000000", 60_000_000),
        (b"0" * 5000 + b"2", 2),
        (b"12345678901234567890", 12_345_678_901_234_567_890),
        # More digits than these are too large, whichever they are.
        (b"1" * 5000, 11_111_111_111_111_111_111),
        *((value, None) for value in (b"", b"-1", b"+1", b" 1", b"1, 1", b"1_0", b"0x1", b"\xb2")),
    ],
)
def test_length(value: bytes, number: int | None) -> None:
    assert length(value) == number
