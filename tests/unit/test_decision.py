"""Decisions: statuses, header lines and bodies."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from gatewaycore.decision import STATUSES, Collect, Reception, Redirect, Respond, redirect_status, shown, wire_headers, without_body
from gatewaycore.headers import Headers


@pytest.mark.parametrize(
    ("configured", "method", "status"),
    [(status, method, status) for status in STATUSES for method in ("GET", "HEAD")]
    + [(301, "POST", 308), (302, "POST", 307), (303, "PUT", 307), (307, "DELETE", 307), (308, "POST", 308)],
)
def test_a_method_other_than_get_and_head_keeps_method_and_body(configured: int, method: str, status: int) -> None:
    assert redirect_status(configured, method) == status


def test_a_redirects_lines_are_encoded_once() -> None:
    redirect = Redirect("https://x.example/ÿ", 302, Headers({"Vary": "Accept"}))
    assert redirect.lines == ((b"location", b"https://x.example/\xff"), (b"content-length", b"0"), (b"vary", b"Accept"))
    assert redirect.lines is redirect.lines
    # Having been sent makes no difference.
    assert redirect == Redirect("https://x.example/ÿ", 302, Headers({"Vary": "Accept"}))


@pytest.mark.parametrize(
    ("answer", "method", "body"),
    [
        (Respond(200, body=b"x"), "GET", b"x"),
        (Respond(200, body=b"x"), "HEAD", b""),
        (Respond(204, body=b"x"), "GET", b""),
        (Respond(304, body=b"x"), "GET", b""),
        (Redirect("https://x.example/", 302), "GET", b""),
    ],
)
def test_shown(answer: Redirect | Respond, method: str, body: bytes) -> None:
    assert shown(answer, method) == body


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (Respond(200, Headers({"A": "b"}), b"xy"), [(b"a", b"b"), (b"content-length", b"2")]),
        (Respond(200), [(b"content-length", b"0")]),
        (Respond(204, Headers({"A": "b"}), b"xy"), [(b"a", b"b")]),
        (Respond(304), []),
        (Redirect("https://x.example/", 302), [(b"location", b"https://x.example/"), (b"content-length", b"0")]),
    ],
)
def test_wire_headers(answer: Redirect | Respond, lines: list[tuple[bytes, bytes]]) -> None:
    assert wire_headers(answer) == lines


def test_without_body() -> None:
    assert [without_body(status, "GET") for status in (200, 204, 304, 404)] == [False, True, True, False]
    assert without_body(200, "HEAD")


def test_too_large_is_413_unless_told_otherwise() -> None:
    collect = Collect(10, lambda _: Reception(Respond(200)))
    assert collect.too_large.status == 413
    assert collect.too_large.headers["content-type"].startswith("text/plain")
    assert collect.receive(b"").entries == ()


def test_answers_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Respond(200).status = 500  # type: ignore[misc]
