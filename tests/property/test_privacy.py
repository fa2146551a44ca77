"""Redaction: no spelling of the client's own address stays anywhere in an event, and nothing else is taken for it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import quote, unquote

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests import strategies
from tests.examples import many

from gatewaycore.event import Event
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.privacy import REDACTED, redact
from gatewaycore.recorder import Recorder, Sent, decode
from gatewaycore.request import Request
from gatewaycore.rules import FileRule, PixelRule
from gatewaycore.salts import Salts

GET = "get.acme.example"
GATEWAY = Gateway.compile(
    [
        *FileRule(name="cli", domain=GET, incoming_path="/d/{version}", outgoing_url="https://cdn.acme.example/{version}").compile(),
        *PixelRule(name="docs", domain=GET, package_variable="p").compile(),
        *PixelRule(name="page", domain=GET, incoming_path="/b.png").compile(),
    ]
)
thorough = settings(deadline=None, max_examples=many(300), suppress_health_check=[HealthCheck.too_slow])
versions = st.lists(st.integers(0, 99).map(str), min_size=1, max_size=6).map(".".join)
# What stands around an address: nothing that would make it part of another one.
around = st.sampled_from(["", " ", "x", "v", "-", "/", "?ip=", "&", "(", ")", "ü", "%20", "%3D", "%2F", "[", "]", "."])


@st.composite
def escaped(draw: st.DrawFn, text: str) -> str:
    """Escape some characters of `text`, up to twice."""
    for _ in range(draw(st.integers(0, 2))):
        every = draw(st.booleans())
        # A "%" is escaped in any case, as whoever escapes anything does: else "%2" and "5" would be read together.
        chosen = [every or character == "%" or draw(st.booleans()) for character in text]
        digits = draw(st.sampled_from(["%{:02X}", "%{:02x}"]))
        text = "".join(
            digits.format(ord(character)) if yes and character.isascii() else character for character, yes in zip(text, chosen, strict=True)
        )
    return text


def spellings(address: str) -> st.SearchStrategy[str]:
    """Return ways to write an address."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return st.just(address)
    return st.sampled_from([address, address.upper(), parsed.exploded, parsed.exploded.upper()])


def seen_through(text: str) -> list[str]:
    views = [text]
    for _ in range(3):
        views.append(unquote(views[-1], encoding="latin-1"))
    return views


def holds(text: str, address: str) -> bool:
    """Tell, in another way than `redact` does, whether an address stands in a text."""
    if ":" in address:
        found = [run for view in seen_through(text) for run in re.findall(r"[0-9A-Fa-f:]{2,45}", view)]
        return any(_is(run, address) or _is(run.strip(":"), address) for run in found)
    return any(re.search(rf"(?<![0-9])(?<![0-9]\.){re.escape(address)}(?!\.?[0-9])", view) is not None for view in seen_through(text))


def _is(text: str, address: str) -> bool:
    try:
        return ip_address(text) == ip_address(address)
    except ValueError:
        return False


@thorough
@given(data=st.data(), address=strategies.addresses, before=around, after=around)
def test_no_spelling_of_the_own_address_stays(data: st.DataObject, address: str, before: str, after: str) -> None:
    written = data.draw(spellings(address).flatmap(escaped))
    kept = redact(before + written + after, address)
    assert REDACTED in kept
    assert not holds(kept, address)
    # What stood around it is still there, and nothing is taken out twice.
    assert kept == f"{before}{REDACTED}{after}" or "%" in before + written + after
    assert redact(kept, address) == kept


@thorough
@given(data=st.data(), address=strategies.addresses, before=around)
def test_no_spelling_of_the_own_address_stays_in_an_event(data: st.DataObject, address: str, before: str) -> None:
    def spelled() -> str:
        return before + data.draw(spellings(address).flatmap(escaped))

    lines: list[bytes] = []

    def append(line: bytes) -> bool:
        lines.append(line)
        return True

    recorder = Recorder(append, (), Salts(None))
    path, query = data.draw(
        st.sampled_from([("/d/@", "q=@"), ("/d/1", "@=@"), ("/a.png", "p=@"), ("/b.png", "page=@"), ("/b.png", ""), ("/d/1", "")])
    )
    fields = {"User-Agent": f"x/1 ({spelled()})".encode().decode("latin-1"), "Referer": f"https://x/?ip={quote(spelled(), safe='%:')}"}
    request = Request(
        "GET",
        GET,
        path.replace("@", quote(spelled(), safe="")),
        "&".join("=".join(quote(spelled(), safe="") if part == "@" else part for part in pair.split("=")) for pair in query.split("&")),
        Headers(fields),
        address,
    )
    for _ in range(3):
        outcome = GATEWAY.decide(request)
        if outcome.settled is not None:
            recorder.record_settled(outcome, outcome.settled)
        else:
            recorder.record(outcome, Sent(302))
    assert (recorder.failed, len(lines)) == (0, 3)
    for event in map(decode, lines):
        for text in texts(event):
            assert not holds(text, address)
        assert REDACTED in str(event)


def texts(event: Event) -> list[str]:
    named = [event.package, event.version, event.platform, event.arch, event.page, event.user_agent, event.domain]
    return [*event.variables, *event.variables.values(), *(text for text in named if text is not None)]


@thorough
@given(data=st.data(), address=strategies.addresses, other=st.one_of(strategies.addresses, versions), before=around, after=around)
def test_other_addresses_and_versions_stay(data: st.DataObject, address: str, other: str, before: str, after: str) -> None:
    written = data.draw(escaped(other))
    text = before + written + after
    assume(not holds(text, address))
    assert redact(text, address) == text


@thorough
@given(
    data=st.data(),
    address=strategies.addresses,
    more=st.sampled_from(["{}5", "1{}", "{}.5", "5.{}", "{}5.6", "{}.", "0{}"]),
    depth=st.integers(0, 2),
)
def test_what_goes_on_is_another(data: st.DataObject, address: str, more: str, depth: int) -> None:
    """Of an IPv4 address; and of an IPv6 address where it then is one."""
    text = more.format(address)
    if ":" in address:
        assume(more in ("{}5", "1{}") and _parses(text) and IPv6Address(text) != IPv6Address(address))
    else:
        assume(more != "{}.")
    assert redact(text, address) == text
    for _ in range(depth):
        text = "".join(f"%{ord(character):02X}" for character in text)
    assert redact(text, address) == text
    assert redact(data.draw(escaped(more.format(address))), address).count(REDACTED) == 0


def _parses(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
