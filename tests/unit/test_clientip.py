"""Who really called: nobody is believed but trusted proxies, and of what they say only what they wrote."""

from __future__ import annotations

import pytest

from gatewaycore.clientip import Origin, TrustedProxies
from gatewaycore.headers import Headers

PROXIES = TrustedProxies.parse(("10.0.0.0/8", "2001:db8:1::/48", "192.0.2.1"))
CLIENT, OTHER = "203.0.113.7", "198.51.100.9"


def origin(peer: str, *lines: tuple[str, str]) -> Origin:
    return PROXIES.origin(peer, Headers(lines))


def test_nobody_is_trusted_by_default() -> None:
    nobody = TrustedProxies()
    assert not nobody
    assert nobody.origin("10.0.0.1", Headers({"X-Forwarded-For": CLIENT, "X-Forwarded-Host": "evil.example"})) == Origin("10.0.0.1")
    assert bool(PROXIES)


@pytest.mark.parametrize("text", ["x", "10.0.0.0/99", ""])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        TrustedProxies.parse((text,))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.0.2.1", True),
        ("::ffff:10.0.0.1", True),
        ("2001:db8:1::9", True),
        ("2001:db8:2::9", False),
        ("", True),
        ("testclient", False),
    ],
)
def test_trusts(address: str, expected: bool) -> None:
    assert PROXIES.trusts(address) is expected


def test_a_stranger_is_not_believed() -> None:
    said = [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "evil.example"), ("Forwarded", "for=1.2.3.4;host=evil.example;proto=http")]
    assert origin(CLIENT, *said) == Origin(CLIENT)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], Origin("10.0.0.1")),
        ([("X-Forwarded-For", CLIENT)], Origin(CLIENT)),
        ([("X-Forwarded-For", f"{CLIENT}:4711")], Origin(CLIENT)),
        ([("X-Forwarded-For", "[2001:db8::7]:4711")], Origin("2001:db8::7")),
        ([("X-Forwarded-For", "2001:DB8::7")], Origin("2001:db8::7")),
        # What the client wrote itself stands to the left.
        ([("X-Forwarded-For", f"{OTHER}, {CLIENT}")], Origin(CLIENT)),
        ([("X-Forwarded-For", OTHER), ("X-Forwarded-For", CLIENT)], Origin(CLIENT)),
        ([("X-Forwarded-For", f"{OTHER}, {CLIENT}, 10.0.0.2, 192.0.2.1")], Origin(CLIENT)),
        ([("X-Forwarded-For", "10.0.0.3, 10.0.0.2")], Origin("10.0.0.3")),
        ([("X-Forwarded-For", f"{OTHER}, unknown")], Origin("10.0.0.1")),
        ([("X-Forwarded-For", "")], Origin("10.0.0.1")),
        ([("X-Forwarded-For", CLIENT), ("X-Forwarded-Host", "a.example, b.example")], Origin(CLIENT, "b.example")),
        ([("X-Forwarded-Host", "b.example"), ("X-Forwarded-Proto", "HTTPS")], Origin("10.0.0.1", "b.example", "https")),
        ([("X-Forwarded-Proto", "gopher")], Origin("10.0.0.1")),
        ([("X-Forwarded-Host", "a.example, ")], Origin("10.0.0.1")),
    ],
)
def test_x_forwarded(lines: list[tuple[str, str]], expected: Origin) -> None:
    assert origin("10.0.0.1", *lines) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"for={CLIENT}", Origin(CLIENT)),
        (f'For="{CLIENT}:4711";Proto=HTTP;Host="Get.Acme.example"', Origin(CLIENT, "Get.Acme.example", "http")),
        ('for="[2001:db8::7]:4711"', Origin("2001:db8::7")),
        (f"for={OTHER}, for={CLIENT}", Origin(CLIENT)),
        (f"for={OTHER};host=evil.example, for={CLIENT}, for=10.0.0.2;host=real.example", Origin(CLIENT, "real.example")),
        (f"for={CLIENT};host=mine.example, for=10.0.0.2", Origin(CLIENT, "mine.example")),
        (f"for={OTHER}, for=unknown", Origin("10.0.0.1")),
        (f"for={OTHER}, for=_hidden", Origin("10.0.0.1")),
        (f"for={OTHER}, by=10.0.0.9", Origin("10.0.0.1")),
        # An element that cannot be read lends its place to nobody.
        (f'for={OTHER};host=evil.example, for="', Origin("10.0.0.1")),
        (f"for={OTHER}, ;;", Origin("10.0.0.1")),
        (f"for={CLIENT}, ,", Origin(CLIENT)),
        # A quotation mark that the client left open swallows nothing of what the proxy added.
        (f'for="{OTHER}, for={CLIENT}', Origin(CLIENT)),
        (f"for={CLIENT};proto=gopher", Origin(CLIENT)),
    ],
)
def test_forwarded(said: str, expected: Origin) -> None:
    assert origin("10.0.0.1", ("Forwarded", said)) == expected


@pytest.mark.parametrize(
    ("forwarded", "x_forwarded_for", "expected"),
    [
        (f"for={CLIENT};proto=http", CLIENT, Origin(CLIENT, None, "http")),
        (f"for={OTHER}, for={CLIENT}", CLIENT, Origin(CLIENT)),
        # Most proxies write one of the two and pass the other on as the client sent it.
        (f"for={OTHER};host=evil.example", CLIENT, Origin("10.0.0.1")),
        (f"for={CLIENT}", OTHER, Origin("10.0.0.1")),
    ],
)
def test_where_both_are_there_and_disagree_neither_is_believed(forwarded: str, x_forwarded_for: str, expected: Origin) -> None:
    assert origin("10.0.0.1", ("Forwarded", forwarded), ("X-Forwarded-For", x_forwarded_for)) == expected


def test_behind_a_unix_socket_stands_a_process_of_this_machine() -> None:
    assert origin("", ("X-Forwarded-For", CLIENT)) == Origin(CLIENT)
