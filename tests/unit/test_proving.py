"""Proving: which names are domains, what their records say, whatever a DNS server answers, and what becomes of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dns.rcode
import pytest

from gatewaycore.errors import ConfigError
from gatewaycore.proving import (
    Look,
    Place,
    Standing,
    VerificationSettings,
    challenge_name,
    judge,
    pause_s,
    read_domain,
    records_for,
    supplied,
)
from gatewaycore.proving.looking import Seen
from gatewaycore.proving.names import probed
from gatewaycore.proving.resolver import Resolver, split
from gatewaycore.request import normalise_host
from tests.dns_server import DnsServer

DOMAIN, TARGET, TOKEN = "get.acme.test", "gateway.acme.test", "pO5VXVW9YyiLQs4yb3wuRqJMKvrab-EP"
TXT = f"_gatewaycore-challenge.{DOMAIN}"
PLACE = Place(target=TARGET)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as started:
        started.set(TARGET, "A", "203.0.113.7")
        started.set(TARGET, "AAAA", "2001:db8::7")
        yield started


def look(server: DnsServer, place: Place = PLACE, domain: str = DOMAIN, **settings: Any) -> Look:
    return Look.at(domain, TOKEN, place, Resolver(VerificationSettings(resolvers=(server.address,), **{"timeout_s": 5, **settings})))


# --- names -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Get.Acme.COM.", "get.acme.com"),
        (" get.acme.com ", "get.acme.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("ＧＥＴ.acme.com", "get.acme.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("*.acme.com", "*.acme.com"),
        ("*.Bücher.example", "*.xn--bcher-kva.example"),
    ],
)
def test_domains_are_kept_in_one_form(text: str, name: str) -> None:
    assert read_domain(text) == name
    assert read_domain(name) == name
    # What is proved is what is served.
    assert "*." in name or normalise_host(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "com", "*.com", "*", "a..b", "-a.com", "a-.com", "a_b.com", "a b.com", "127.0.0.1", "[::1]", "get.acme.com:443", "*.*.acme.com",
     "a.*.com", "x" * 64 + ".com", "x." * 130 + "com", "xn--a.com", "xn--.com", "a\x00b.com", "☃\u200d.com", "acme.com/x", "1.2.3.0x10"],
)  # fmt: skip
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(ConfigError, match="is no domain"):
        read_domain(text)


def test_records_to_set() -> None:
    place = Place(target=TARGET, addresses=("203.0.113.7", "2001:db8::7"))
    assert [(one.type, one.name, one.value, one.instead) for one in records_for("*.acme.test", TOKEN, place)] == [
        ("TXT", "_gatewaycore-challenge.acme.test", TOKEN, False),
        ("CNAME", "*.acme.test", TARGET, False),
        ("A", "*.acme.test", "203.0.113.7", True),
        ("AAAA", "*.acme.test", "2001:db8::7", True),
    ]
    assert [one.value for one in records_for(DOMAIN, None, Place())] == [None]
    assert (challenge_name(DOMAIN), probed("*.acme.test")) == (TXT, "gatewaycore-probe.acme.test")
    assert (bool(Place()), bool(PLACE), bool(Place(addresses=("203.0.113.7",)))) == (False, True, True)


def test_the_target_has_no_cname_to_itself() -> None:
    place = Place(target=TARGET, addresses=("203.0.113.7", "2001:db8::7"))
    assert [(one.type, one.value, one.instead) for one in records_for(TARGET, None, place)] == [
        ("A", "203.0.113.7", False),
        ("AAAA", "2001:db8::7", False),
    ]
    assert records_for(TARGET, None, PLACE) == []


def test_supplied_domains() -> None:
    assert supplied("acme", "gw.example") == ["acme.docker.gw.example", "acme.gateway.gw.example"]
    assert supplied("acme.labs", "gw.example") == []


# --- looks -----------------------------------------------------------------------------------------------------------------


def test_a_txt_and_a_cname_prove_a_domain(server: DnsServer) -> None:
    assert look(server).reason == f"there is no TXT record {TXT}"
    server.set(TXT, "TXT", TOKEN)
    found = look(server)
    assert (found.verdict, found.reason) == ("absent", f"{DOMAIN} has no address; it should lead to {TARGET}")
    server.set(DOMAIN, "CNAME", "other.acme.test")
    server.set("other.acme.test", "CNAME", TARGET)
    found = look(server)
    assert (found.verdict, found.reason) == ("proved", "")
    assert found.seen.shown() == {"txt": [TOKEN], "more-txt": 0, "cname": ["other.acme.test", TARGET], "addresses": []}
    # Whose it is counts, and not where it leads alone.
    server.set(TXT, "TXT", "another organisation's")
    assert look(server).reason == f"the TXT record {TXT} holds something else"


def test_no_place_asks_for_the_txt_alone(server: DnsServer) -> None:
    server.set(TXT, "TXT", TOKEN)
    assert look(server, Place()).verdict == "proved"
    assert server.asked == [(TXT, "TXT")]
    assert Look.at(DOMAIN, None, Place(), Resolver(VerificationSettings(resolvers=(server.address,)))).verdict == "proved"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("addresses", "own", "wrong"),
    [
        (["203.0.113.7"], (), ""),
        (["203.0.113.7", "2001:db8::7"], (), ""),
        (["198.51.100.1"], ("198.51.100.1",), ""),
        (["203.0.113.7"], ("198.51.100.1",), "leads to 203.0.113.7, and not to"),
        (["203.0.113.7", "192.0.2.1"], (), "leads to 192.0.2.1, and not to"),
        (["192.0.2.1"], (), f"leads to 192.0.2.1, and not to {TARGET}"),
    ],
)
def test_an_apex_leads_here_by_its_addresses(server: DnsServer, addresses: list[str], own: tuple[str, ...], wrong: str) -> None:
    server.set("_gatewaycore-challenge.acme.test", "TXT", TOKEN)
    for kind in ("A", "AAAA"):
        server.set("acme.test", kind, *[one for one in addresses if (":" in one) == (kind == "AAAA")])
    found = look(server, Place(target=TARGET, addresses=own), "acme.test")
    assert wrong in found.reason
    assert (found.verdict, list(found.seen.addresses)) == ("absent" if wrong else "proved", sorted(addresses))


def test_addresses_alone_are_a_place(server: DnsServer) -> None:
    server.set(TXT, "TXT", TOKEN)
    server.set(DOMAIN, "A", "192.0.2.1")
    assert look(server, Place(addresses=("203.0.113.7",))).reason == f"{DOMAIN} leads to 192.0.2.1, and not to 203.0.113.7"


def test_a_wildcard_is_proved_below_its_parent(server: DnsServer) -> None:
    server.set("_gatewaycore-challenge.acme.test", "TXT", TOKEN)
    server.set("gatewaycore-probe.acme.test", "CNAME", TARGET)
    assert look(server, domain="*.acme.test").verdict == "proved"


def test_the_target_itself_leads_here(server: DnsServer) -> None:
    server.set(f"_gatewaycore-challenge.{TARGET}", "TXT", TOKEN)
    assert look(server, domain=TARGET).verdict == "proved"


def test_a_dangling_cname_is_absent(server: DnsServer) -> None:
    server.set(TXT, "TXT", TOKEN)
    server.set(DOMAIN, "CNAME", "gone.acme.test")
    assert look(server).reason == f"{DOMAIN} leads to gone.acme.test, which has no address; it should lead to {TARGET}"


def test_cnames_without_an_end(server: DnsServer) -> None:
    server.set(TXT, "TXT", TOKEN)
    server.set(DOMAIN, "CNAME", "a.test")
    server.set("a.test", "CNAME", DOMAIN)
    assert (look(server).verdict, look(server).reason) == ("absent", f"the CNAMEs of {DOMAIN} have no end, or too late a one")
    server.set(DOMAIN, "CNAME", DOMAIN)
    assert look(server).verdict == "absent"
    for number in range(40):
        server.set(f"hop{number}.test", "CNAME", f"hop{number + 1}.test")
    server.set(DOMAIN, "CNAME", "hop0.test")
    assert look(server).verdict == "absent"
    # The same where the proof should be; and in one answer of many links.
    server.set(TXT, "CNAME", "hop0.test")
    assert (look(server).verdict, look(server).seen.texts) == ("trouble", [])


def test_a_proof_may_be_kept_elsewhere(server: DnsServer) -> None:
    server.set(TXT, "CNAME", "proofs.acme.test")
    server.set("proofs.acme.test", "TXT", TOKEN)
    assert look(server, Place()).verdict == "proved"


def test_giant_answers_are_read_and_not_kept(server: DnsServer) -> None:
    server.set(TXT, "TXT", *[f"v={number}" for number in range(2000)], TOKEN)
    found = look(server, Place())
    assert found.verdict == "proved"
    shown = found.seen.shown()
    assert (len(shown["txt"]), shown["more-txt"]) == (5, 1996)
    server.set(TXT, "TXT", "x" * 60_000)
    found = look(server, Place())
    assert (found.verdict, max(map(len, found.seen.texts))) == ("absent", 1024)
    assert len(found.seen.shown()["txt"][0]) == 80
    # Longer than a message may be: the server cannot say it.
    server.set(TXT, "TXT", "x" * 60_000, "y" * 60_000)
    assert look(server, Place()).verdict != "proved"


def test_a_token_in_pieces_and_in_spaces(server: DnsServer) -> None:
    server.set(TXT, "TXT", f" {TOKEN} ")
    assert look(server, Place()).verdict == "proved"
    server.set(TXT, "TXT", f"{TOKEN}x", TOKEN.lower())
    assert look(server, Place()).verdict == "absent"


def test_what_is_seen_is_made_harmless() -> None:
    assert Seen(texts=["a\x1b[31m\u202eb"]).shown()["txt"] == ["a\ufffd[31m\ufffdb"]


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, None])
def test_no_answer_proves_nothing(server: DnsServer, code: dns.rcode.Rcode | None) -> None:
    server.set(TXT, "TXT", TOKEN)
    server.broken[DOMAIN] = code
    found = look(server, timeout_s=1)
    assert (found.verdict, list(found.seen.texts)) == ("trouble", [TOKEN])
    assert DOMAIN in found.reason


def test_a_look_has_an_end() -> None:
    moment = [0.0]

    def later() -> float:
        moment[0] += 4
        return moment[0]

    with DnsServer() as server:
        server.set(TXT, "TXT", TOKEN)
        slow = Resolver(VerificationSettings(resolvers=(server.address,)), clock=later)
        found = Look.at(DOMAIN, TOKEN, PLACE, slow)
    assert (found.verdict, found.reason) == ("trouble", "it takes too long to look at its records")


def test_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        settings = VerificationSettings(resolvers=(f"127.0.0.1:{taken.getsockname()[1]}",), timeout_s=1)
        assert Look.at(DOMAIN, TOKEN, Place(), Resolver(settings)).verdict == "trouble"


def test_a_name_that_no_question_can_hold(server: DnsServer) -> None:
    found = look(server, Place(target=f"{'x' * 70}.test"))
    assert found.verdict == "absent"
    server.set(TXT, "TXT", TOKEN)
    server.set(DOMAIN, "A", "203.0.113.7")
    assert look(server, Place(target=f"{'x' * 70}.test")).verdict == "trouble"


def test_resolvers_are_written_in_four_ways() -> None:
    texts = ("192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353", "[2001:db8::53]")
    assert [split(one)[1] for one in texts] == [53, 5353, 53, 5353, 53]
    assert {split(one)[0] for one in texts} == {"192.0.2.53", "2001:db8::53"}


# --- what becomes of it ----------------------------------------------------------------------------------------------------

PROVED, ABSENT, TROUBLE = Look(verdict="proved"), Look(verdict="absent", reason="gone"), Look(verdict="trouble", reason="no answer")


@pytest.mark.parametrize(
    ("state", "failing_h", "seen", "after", "failing_since_h"),
    [
        ("pending", None, PROVED, "verified", None),
        ("pending", None, ABSENT, "pending", None),
        ("pending", None, TROUBLE, "pending", None),
        ("verified", None, PROVED, "verified", None),
        ("verified", None, ABSENT, "failing", 0),
        ("verified", None, TROUBLE, "verified", None),
        ("failing", 1, PROVED, "verified", None),
        ("failing", 1, ABSENT, "failing", 1),
        ("failing", 2, ABSENT, "lost", 2),
        ("failing", 9, TROUBLE, "failing", 9),
        ("lost", 9, ABSENT, "lost", 9),
        ("lost", 9, TROUBLE, "lost", 9),
        ("lost", 9, PROVED, "verified", None),
    ],
)
def test_states(state: Any, failing_h: int | None, seen: Look, after: str, failing_since_h: int | None) -> None:
    ago = None if failing_h is None else NOW - timedelta(hours=failing_h)
    judged = judge(Standing(state=state, failing_since=ago), seen, 7200, NOW)
    since = None if failing_since_h is None else NOW - timedelta(hours=failing_since_h)
    assert (judged.state, judged.reason, judged.failing_since) == (after, seen.reason, since)


def test_what_was_just_set_is_looked_for_soon() -> None:
    settings = VerificationSettings()
    pauses = [pause_s("pending", NOW - timedelta(seconds=age), settings, NOW) for age in (0, 60, 1200, 10**6)]
    assert pauses == [5, 5, 100, 3600]
    assert (pause_s("verified", NOW, settings, NOW), pause_s("failing", NOW, settings, NOW)) == (3600, 300)
    assert pause_s("failing", NOW, VerificationSettings(every_s=10), NOW) == 10


def test_a_machine_without_dns_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def none(*_: object, **__: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", none)
    with pytest.raises(ConfigError, match="this machine names no DNS servers"):
        Resolver(VerificationSettings())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "dns.resolver", None)
    with pytest.raises(ConfigError, match=r"needs gatewaycore\[dns\]"):
        Resolver(VerificationSettings())


def test_the_machines_own_servers_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    opened = Resolver(VerificationSettings(resolvers=("192.0.2.53",)))

    def down(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(dns.resolver.Resolver, "resolve", down)
    assert Look.at(DOMAIN, TOKEN, Place(), opened).reason == "no DNS server can be reached (Network is unreachable)"
