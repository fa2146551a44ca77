"""Privacy: opting out, identifiers, and addresses that are taken out of what is kept."""

from __future__ import annotations

import string
import time

import pytest

from gatewaycore.headers import Headers
from gatewaycore.privacy import REACH, REDACTED, endpoint_id, may_hide_address, needle, opted_out, origin_id, redact, seems_to_hold_ipv6

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        ([("Sec-GPC", "1")], True),
        ([("sec-gpc", " 1\t")], True),
        ([("Sec-GPC", "0")], False),
        ([("Sec-GPC", "10")], False),
        ([("Sec-GPC", "true")], False),
        ([("Sec-GPC", "")], False),
        ([("Sec-GPC", "0"), ("Sec-GPC", "1")], True),
        ([("Sec-GPC", "0,1")], True),
        ([("Sec-GPC", "0, 10")], False),
        ([("DNT", "0,1")], True),
        ([("DNT", "1")], True),
        ([("DNT", "1abc")], True),
        ([("dnt", " 1")], True),
        ([("DNT", "0")], False),
        ([("DNT", "01")], False),
        ([("DNT", "null")], False),
        ([("DNT", "")], False),
        ([("DNT", "0"), ("DNT", "1")], True),
        ([("Sec-GPC", "0"), ("DNT", "1")], True),
    ],
)
def test_opted_out(lines: list[tuple[str, str]], expected: bool) -> None:
    assert opted_out(Headers(lines)) is expected
    # As a server hands them over: blanks around a value are not its business.
    assert opted_out(Headers.from_raw([(name.lower().encode(), value.encode()) for name, value in lines])) is expected


def test_identifiers_stand_for_all_they_are_made_of() -> None:
    same = origin_id(KEY, "203.0.113.7", "pip/24", "get.acme.example")
    assert same == origin_id(KEY, "203.0.113.7", "pip/24", "get.acme.example")
    others = [
        origin_id(b"j" * 32, "203.0.113.7", "pip/24", "get.acme.example"),
        origin_id(KEY, "203.0.113.8", "pip/24", "get.acme.example"),
        origin_id(KEY, "203.0.113.7", "pip/25", "get.acme.example"),
        origin_id(KEY, "203.0.113.7", "pip/24", "py.acme.example"),
        endpoint_id(KEY, "203.0.113.7", "get.acme.example"),
    ]
    assert len({same, *others}) == 6
    assert all(len(text) == 32 and set(text) <= set(string.hexdigits.lower()) for text in (same, *others))


def test_an_identifier_is_made_of_any_text() -> None:
    assert len(origin_id(KEY, "", "\ud800\0", "")) == 32
    assert len(endpoint_id(b"", "x", "")) == 32


@pytest.mark.parametrize(
    ("text", "address", "expected"),
    [
        ("no address", "203.0.113.7", "no address"),
        ("a 203.0.113.7 b 203.0.113.7", "203.0.113.7", f"a {REDACTED} b {REDACTED}"),
        # Another address, or a version, that holds it.
        ("203.0.113.70", "203.0.113.7", "203.0.113.70"),
        ("1203.0.113.7", "203.0.113.7", "1203.0.113.7"),
        ("11.2.3.4 v=1.2.3.45 1.2.3.4.5 5.1.2.3.4", "1.2.3.4", "11.2.3.4 v=1.2.3.45 1.2.3.4.5 5.1.2.3.4"),
        ("1.2.3.4%35 1.2.3.4%252E5 %311.2.3.4", "1.2.3.4", "1.2.3.4%35 1.2.3.4%252E5 %311.2.3.4"),
        ("x1.2.3.4y ...1.2.3.4... v1.2.3.4.tgz", "1.2.3.4", f"x{REDACTED}y ...{REDACTED}... v{REDACTED}.tgz"),
        # Seen through escapes.
        ("?ip=203%2E0%2e113%2E7&x", "203.0.113.7", f"?ip={REDACTED}&x"),
        ("203%252E0.113%252e7", "203.0.113.7", REDACTED),
        ("%32%30%33.0.113.7", "203.0.113.7", REDACTED),
        ("%25%33%32%30%33.0.113.7", "203.0.113.7", REDACTED),
        ("%20203.0.113.7%20", "203.0.113.7", f"%20{REDACTED}%20"),
        ("%203.0.113.7", "203.0.113.7", f"%{REDACTED}"),
        ("%C3%A9%ff%zz%203%2E0.113.7%", "3.0.113.7", f"%C3%A9%ff%zz%20{REDACTED}%"),
        # Inside an IPv6 address, as a socket for both families shows it.
        ("::ffff:203.0.113.7", "203.0.113.7", REDACTED),
        ("[::FFFF:cb00:7107]:80", "203.0.113.7", f"[{REDACTED}]:80"),
        ("0:0:0:0:0:ffff:cb00:7107 ::ffff:cb00:7108", "203.0.113.7", f"{REDACTED} ::ffff:cb00:7108"),
        ("ip=%3A%3Affff%3Acb00%3A7107", "203.0.113.7", f"ip={REDACTED}"),
        ("::ffff:203.0.113.70", "203.0.113.7", "::ffff:203.0.113.70"),
        ("::ffff:1:2", "unix:", "::ffff:1:2"),
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "%eth0", "203.0.113.7"),
        ("x", "unix:", "x"),
        # One address, many spellings.
        ("2001:db8::7", "2001:db8::7", REDACTED),
        ("2001:DB8::7", "2001:db8::7", REDACTED),
        ("2001:db8::7", "2001:DB8::7", REDACTED),
        ("2001:0db8:0000:0000:0000:0000:0000:0007", "2001:db8::7", REDACTED),
        ("2001:db8:0:0:0:0:0:7", "2001:db8::7", REDACTED),
        ("ip=2001%3Adb8%3A%3a7&x", "2001:db8::7", f"ip={REDACTED}&x"),
        ("ip=%5B2001%3ADB8%3A%3A7%5D", "2001:db8::7", f"ip=%5B{REDACTED}%5D"),
        ("from%202001:DB8::7", "2001:db8::7", f"from%20{REDACTED}"),
        ("u=%3Fip%3D2001%253Adb8%25253a%3A7", "2001:db8::7", f"u=%3Fip%3D{REDACTED}"),
        ("[2001:DB8::7]:8080", "2001:db8::7", f"[{REDACTED}]:8080"),
        ("from 2001:DB8::7.", "2001:db8::7", f"from {REDACTED}."),
        ("ip:2001:0DB8::7: x", "2001:db8::7", f"ip:{REDACTED}: x"),
        ("2001:db8::7:8080", "2001:db8::7", f"{REDACTED}:8080"),
        ("bed2001:db8::7", "2001:db8::7", f"bed{REDACTED}"),
        ("%32001%3Adb8%253A%3A%2537", "2001:db8::7", REDACTED),
        ("2001:db8::70 2001:db8::7%30 12001:db8::7", "2001:db8::7", f"2001:db8::70 2001:db8::7%30 1{REDACTED}"),
        ("2001:db8::1 ::10 ::1", "::1", f"2001:db8::1 ::10 {REDACTED}"),
        ("a::1" * 100, "::1", f"a{REDACTED}" * 100),
        ("2001:db8::8", "2001:db8::7", "2001:db8::8"),
        # With a number before it or behind it, as a version has.
        ("v1.2001:0DB8::7 1.2.2001:DB8:0:0:0:0:0:7", "2001:db8::7", f"v1.{REDACTED} 1.2.{REDACTED}"),
        ("2001:0DB8::7.1.2 1.2001:0DB8:0:0:0:0:0:7:8080.1", "2001:db8::7", f"{REDACTED}.1.2 1.{REDACTED}:8080.1"),
        ("1.::ffff:203.0.113.7.5 1.::FFFF:cb00:7107.2", "203.0.113.7", f"1.{REDACTED}.5 1.{REDACTED}.2"),
        ("1.2001:0DB8::8 1.2:3.4 1.:.2 :.:.", "2001:db8::7", "1.2001:0DB8::8 1.2:3.4 1.:.2 :.:."),
        ("fe80::1", "fe80::1%eth0", REDACTED),
        ("FE80::1", "fe80::1%eth0", REDACTED),
        # A socket for both families gives an IPv4 caller's address so.
        ("203.0.113.7", "::ffff:203.0.113.7", REDACTED),
        ("203.0.113.7", "::ffff:cb00:7107", REDACTED),
        ("::FFFF:cb00:7107", "::ffff:203.0.113.7", REDACTED),
        ("12:30:45 face:b00c", "2001:db8::7", "12:30:45 face:b00c"),
    ],
)
def test_redact(text: str, address: str, expected: str) -> None:
    assert redact(text, address) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("", ""),
        ("::ffff:cb00:7107", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("a:b", "a:b"),
    ],
)
def test_needle(address: str, expected: str) -> None:
    assert needle(address) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"::1", True), (b"2001%3Adb8%3a", True), (b'"a":"b","c":1', False), (b"https://x:80/", False), (b"", False), (b":12345:", False)],
)
def test_seems_to_hold_ipv6(text: bytes, expected: bool) -> None:
    assert seems_to_hold_ipv6(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"203%2E0", True),
        (b"203%25252e0", True),
        (b"%3203", True),
        (b"%25%33%32", True),
        (b"%2%45", True),
        (b"%20%2F", False),
        (b"100%", False),
        (b"1.2.3.4", False),
        (b"", False),
    ],
)
def test_may_hide_address(text: bytes, expected: bool) -> None:
    assert may_hide_address(text) is expected


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        ":" * 200_000,
        "%3A" * 60_000,
        "%25" * 60_000,
        "%252525" * 20_000,
        "a:" * 100_000,
        "1." * 100_000,
        "a::1" * 50_000,
        "1.2.3.4" * 30_000,
    ],
)
def test_redacting_takes_time_in_proportion_to_the_text(text: str) -> None:
    began = time.process_time()
    for address in ("2001:db8::7", "::1", "1.2.3.4"):
        redact(text, address)
    seems_to_hold_ipv6(text.encode())
    may_hide_address(text.encode())
    # An expression that went back and forth would take minutes.
    assert time.process_time() - began < 60


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8:7::99"])
@pytest.mark.parametrize("escape", ["", "%", "%252525"])
def test_a_cut_goes_through_no_address(address: str, escape: str) -> None:
    spelled = "".join(f"{escape}{ord(character):02X}" for character in address) if escape else address
    for before in range(60):
        text = "x" * before + f"{spelled} {spelled}" + "y" * REACH
        expected = ("x" * before + f"{REDACTED} {REDACTED}" + "y" * REACH)[:50]
        # However much of it a caller holds.
        for held in (text, text[: 50 + REACH]):
            found = redact(held, address, 50)
            assert expected.startswith(found)
            assert found[: before + 1] == expected[: before + 1]
    assert (f"{REDACTED};" * 50).startswith(redact(f"{spelled};" * 500, address, 50))
    assert redact("x" * 2_000, address, 50) == "x" * 50
    assert redact("x" * 20, address, 50) == "x" * 20
