"""A week of a gateway: every type of package, every kind of caller, every sink; and afterwards no address, wherever it is looked for.

Time moves by itself: salts are rotated as their days and months end. What real clients and a real server do besides is in
tests/e2e/test_privacy.py and tests/e2e/test_week.py, whose clock is the real one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from attrs import fields, frozen
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.addresses import escapes, found_in, held, lines, packed, spellings, stand_in
from tests.clickhouse import Clickhouse
from tests.databases import Postgres
from tests.examples import many
from tests.kafka import Kafka
from tests.queues import Nats
from tests.receiver import Receiver
from tests.stores import Stores, files
from tests.worlds import Asked, Received, Upstream, Write, answered, call, drive, environ_of, plain, scope_of

import gatewaycore_asgi.reading
import gatewaycore_wsgi.reading
from gatewaycore.config import read_config
from gatewaycore.event import Event
from gatewaycore.privacy import REDACTED
from gatewaycore.recorder import decode
from gatewaycore.rules import RULES
from gatewaycore.rules.access import hash_token
from gatewaycore.service import Service
from gatewaycore.sinks import SINKS
from gatewaycore.upstreams import UpstreamBrokenError
from gatewaycore_asgi import GatewayApp as AsgiApp
from gatewaycore_wsgi import GatewayApp as WsgiApp

PROXY, OWN = "192.0.2.1", "192.0.2.77"
"""A proxy that is trusted, and a machine of the operator's own: both are named by the configuration, and so known to the gateway."""
DIGEST = f"sha256:{'ab' * 32}"
AGENTS = (
    "curl/8.5.0",
    'pip/24.0 {"python":"3.12"}',
    "docker/26.1.0 go/go1.21.9",
    "skopeo/1.9.3",
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0",
)

# "@" is the caller's own address in some spelling; in a path or a query it is escaped as well.
VISITS: tuple[tuple[str, str, str, str], ...] = (
    ("GET", "get.acme.example", "/linux/1.0", ""),
    ("GET", "get.acme.example", "/linux/1.0", ""),
    ("GET", "get.acme.example", "/linux/@", "from=@&@=x"),
    ("HEAD", "get.acme.example", "/@/2.0", ""),
    ("GET", "get.acme.example", "/all/x/@/y", "url=http%3A%2F%2F@%2F"),
    ("POST", "get.acme.example", "/linux/3.0", "ip=@"),
    ("PATCH", "get.acme.example", "/linux/3.0", "ip=@"),
    ("GET", "px.acme.example", "/a.png", "page=http://@/x"),
    ("GET", "px.acme.example", "/a.png", ""),
    ("GET", "in.acme.example", "/v1/@", "@=@"),
    ("POST", "in.acme.example", "/v1/start", "ip=@"),
    ("POST", "in.acme.example", "/closed", "ip=@"),
    ("POST", "in.acme.example", "/package-event/install/@", ""),
    ("POST", "in.acme.example", "/package-event/install", ""),
    ("GET", "old.acme.example", "/docs/@", "ip=@"),
    ("GET", "py.acme.example", "/simple/skates/", ""),
    ("GET", "py.acme.example", "/simple/@/", "ip=@"),
    ("GET", "py.acme.example", "/simple/skates/skates-1.0.zip", "ip=@"),
    ("GET", "py.acme.example", "/simple/wheels/", "ip=@"),
    ("GET", "py.acme.example", "/simple/wheels/wheels-1.0-py3-none-any.whl", "ip=@"),
    ("GET", "py.acme.example", "/simple/wheels/wheels-@.zip.metadata", ""),
    ("GET", "py.acme.example", "/simple/lost/@", "ip=@"),
    ("GET", "npm.acme.example", "/npm/%40acme/wheels", "ip=@"),
    ("GET", "npm.acme.example", "/npm/%40acme/wheels/-/wheels-1.0.0.tgz", "ip=@"),
    ("GET", "npm.acme.example", "/npm/%40acme/@", "ip=@"),
    ("GET", "npm.acme.example", "/npm/%40lost/@/-/@-1.0.0.tgz", ""),
    ("PUT", "npm.acme.example", "/npm/%40acme/@", ""),
    ("GET", "docker.acme.example", "/v2/", "ip=@"),
    ("GET", "docker.acme.example", "/v2/acme/skates/manifests/1.0", "ip=@"),
    ("HEAD", "docker.acme.example", "/v2/acme/skates/manifests/1.0", ""),
    ("GET", "docker.acme.example", f"/v2/acme/skates/blobs/{DIGEST}", "ip=@"),
    ("GET", "docker.acme.example", "/v2/acme/broken/manifests/1.0", "ip=@"),
    ("GET", "docker.acme.example", "/v2/acme/moved/manifests/1.0", "ip=@"),
    ("GET", "docker.acme.example", "/v2/acme/@/manifests/@", ""),
    ("GET", "gone.acme.example", "/v2/acme/gone/manifests/1.0", "ip=@"),
    ("GET", "@", "/linux/1.0", ""),
    ("GET", "not a host @", "/linux/1.0", ""),
    ("GET", "get.acme.example", "/nothing/here/@/at/all", "@"),
)
BODIES = (
    "",
    '{"ip": "@", "@": 1, "deep": [{"x": "at @!"}], "version": "@"}',
    '{"ip": "@"}\n{"page": "http://@/"}\n',
    '[{"package": "@"}]',
    "no JSON, @",
    "LARGE",
)
FIELDS: tuple[tuple[str, str], ...] = (
    ("User-Agent", "probe/1.0 (+http://@/; @)"),
    ("User-Agent", "@"),
    ("Referer", "http://@/page?from=@"),
    ("X-Real-IP", "@"),
    ("Client-IP", "@"),
    ("Cookie", "ip=@"),
    ("Authorization", "Bearer @"),
    ("Accept", "text/html;x=@"),
    ("Range", "bytes=0-@"),
    ("If-None-Match", '"@"'),
    ("Content-Type", "text/plain; x=@"),
)


@frozen
class Visit:
    """One request, by a caller of some number.

    Attributes:
        caller: whose it is.
        through: "direct"; or through the trusted proxy, which says so as "x-forwarded-for" or "forwarded" do; or with a "claim" of the
            caller's own about somebody behind it; or as "own" traffic.
        world: "asgi" or "wsgi".
        asked: method, host, path and query, with "@".
        spelling, escape: which of them stands for "@".
        fields: header fields, with "@".
        body: with "@", or "".
        opted_out: it says so.
    """

    caller: int
    through: str
    world: str
    asked: tuple[str, str, str, str]
    spelling: int
    escape: int
    fields: tuple[tuple[str, str], ...]
    agent: str
    body: str
    opted_out: bool


visits = st.builds(
    Visit,
    caller=st.integers(0, 7),
    through=st.sampled_from(["direct", "direct", "x-forwarded-for", "forwarded", "claim", "own"]),
    world=st.sampled_from(["asgi", "wsgi"]),
    asked=st.sampled_from(VISITS),
    spelling=st.integers(0, 20),
    escape=st.integers(0, 5),
    fields=st.lists(st.sampled_from(FIELDS), max_size=3, unique_by=lambda one: one[0]).map(tuple),
    agent=st.sampled_from(AGENTS),
    body=st.sampled_from(BODIES),
    opted_out=st.sampled_from([False] * 9 + [True]),
)
SEEN = [Visit(0, "direct", "asgi", asked, 0, 0, FIELDS[1:3], AGENTS[0], BODIES[1], opted_out=False) for asked in VISITS]
octets = st.integers(20, 220)
fours = (
    st.tuples(octets, octets, octets, octets).map(lambda parts: ".".join(map(str, parts))).filter(lambda text: not text.startswith("192."))
)
sixes = st.integers(1 << 70, 1 << 90).map(lambda number: str(IPv6Address((0x20010DB8 << 96) + number)))


@frozen
class Week:
    """Seven days of visits.

    Attributes:
        begins: the first day.
        rotation: of the salts.
        callers: their addresses.
        behind: addresses that are only claimed.
        days: what is asked on each.
    """

    begins: datetime
    rotation: str
    callers: Sequence[str]
    behind: Sequence[str]
    days: Sequence[Sequence[Visit]]


@st.composite
def weeks(draw: st.DrawFn) -> Week:
    plain_four, plain_six = (
        draw(st.lists(fours, min_size=6, max_size=6, unique=True)),
        draw(st.lists(sixes, min_size=5, max_size=5, unique=True)),
    )
    mapped = f"::ffff:{plain_four.pop()}"
    low = int(IPv6Address(plain_six.pop())) & 0xFFFF_FFFF_FFFF_FFFF
    zoned = f"{IPv6Address((0xFE80 << 112) + low)}%eth0"
    behind = [plain_four.pop(), plain_six.pop()]
    callers = [*plain_four[:3], *plain_six[:3], mapped, zoned]
    # The month ends in one of them.
    begins = datetime(2026, 11, draw(st.integers(2, 29)), tzinfo=UTC)
    days = draw(st.lists(st.lists(visits, min_size=8, max_size=12), min_size=7, max_size=7))
    # Everything is asked for once at least, by a caller who is seen: what the end of the week looks for is no matter of luck.
    days = [[*day, *SEEN[number::7]] for number, day in enumerate(days)]
    return Week(begins, draw(st.sampled_from(["day", "month"])), callers, behind, days)


PAGES = {
    "/simple/wheels/": ("text/html", '<a href="http://127.0.0.1:1/wheels-1.0-py3-none-any.whl">wheels</a>'),
    "/npm/@acme%2fwheels": (
        "application/json",
        '{"name": "@acme/wheels", "versions": {"1.0.0": {"name": "@acme/wheels", "version": "1.0.0", '
        '"dist": {"tarball": "http://127.0.0.1:1/t"}}}}',
    ),
}


def answer(received: Received, write: Write) -> None:
    """Answer as a registry or an index that works, is moved, or is broken; what it was asked for stands in whatever it says."""
    if received.target in PAGES:
        media_type, page = PAGES[received.target]
        plain(200, [("content-type", media_type)], page.encode())(received, write)
        return
    said = f"cannot serve {received.target} to {received.headers.get('x-forwarded-for')}".encode()
    if "/broken/" in received.target:
        write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + said)
    elif "/moved/" in received.target:
        plain(307, [("location", f"http://127.0.0.1:1{received.target}")], said)(received, write)
    elif "/skates/" in received.target or received.target.startswith("/v2/?") or received.target == "/v2/":
        plain(200, [("content-type", "application/vnd.oci.image.manifest.v1+json")], b"{}")(received, write)
    else:
        plain(404, [("content-type", "application/json")], json.dumps({"errors": [{"message": said.decode()}]}).encode())(received, write)


def config(backend: str, week: Week, sinks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return packages of every type."""
    image = {"type": "container", "domain": "docker.acme.example", "backend-scheme": "http", "strategy": "proxy"}
    cdn = "https://cdn.acme.example"
    packages: list[dict[str, Any]] = [
        {
            "name": "cli",
            "type": "file",
            "domain": "get.acme.example",
            "incoming-path": "/{platform}/{version}",
            "outgoing-url": cdn + "/{version}",
        },
        {"name": "all", "type": "file", "domain": "get.acme.example", "incoming-path": "/all/{+path}", "outgoing-url": cdn + "/{+path}"},
        {"name": "docs", "type": "pixel", "domain": "px.acme.example", "incoming-path": "/a.png"},
        {"name": "usage", "type": "event", "domain": "in.acme.example", "incoming-path": "/v1/{event}", "limits": {"body-bytes": 60_000}},
        {"name": "closed", "type": "event", "domain": "in.acme.example", "incoming-path": "/closed", "access-tokens": [hash_token("x")]},
        {"name": "hooks", "type": "install", "domain": "in.acme.example"},
        {"name": "old", "type": "catch-all", "domain": "old.acme.example", "redirect-target-domain": "acme.example"},
        {
            "name": "skates",
            "type": "python",
            "domain": "py.acme.example",
            "files": [{"file-name": "skates-1.0.zip", "url": cdn + "/skates-1.0.zip"}],
        },
        {"name": "wheels", "type": "python", "domain": "py.acme.example", "index": f"http://{backend}/simple", "ttl-s": 7_200},
        {"name": "lost", "type": "python", "domain": "py.acme.example", "index": "http://127.0.0.1:1/simple"},
        {"name": "acme", "type": "npm", "domain": "npm.acme.example", "registry": f"http://{backend}/npm", "scopes": ["@acme"]},
        {"name": "lost", "type": "npm", "domain": "npm.acme.example", "registry": "http://127.0.0.1:1/npm", "scopes": ["@lost"]},
        {"name": "acme/skates", **image, "backend": f"{backend}/acme/skates"},
        # Nobody listens on port 1.
        {"name": "acme/gone", **image, "domain": "gone.acme.example", "backend": "127.0.0.1:1/acme/gone"},
    ]
    enough = {"incoming-path": "/x", "backend": f"{backend}/acme/x", "backend-scheme": "http", "redirect-target-domain": "acme.example"}
    for tag in RULES.keys() - {package["type"] for package in packages}:
        keys = {column.name.replace("_", "-") for column in fields(RULES[tag])}  # type: ignore[arg-type]
        packages.append(
            {"name": f"of-{tag}", "type": tag, "domain": f"{tag}.acme.example", **{key: enough[key] for key in enough.keys() & keys}}
        )
    gateway = {
        "trusted-proxies": [PROXY],
        "default-domain": "get.acme.example",
        "allow-private-backends": True,
        "salt-rotation": week.rotation,
        "own-traffic": {"networks": [OWN]},
    }
    collection = {"domain": "docker.acme.example", "pattern": "acme/*", "backend": backend, "backend-scheme": "http", "strategy": "proxy"}
    return {"gateway": gateway, "packages": packages, "collections": [collection], "sinks": list(sinks)}


class Clock:
    """The time of the week, wherever the gateway asks for it."""

    def __init__(self, begins: datetime) -> None:
        self.now = begins

    def ns(self) -> int:
        return int(self.now.timestamp() * 1_000_000) * 1_000

    @contextmanager
    def running(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(time, "time_ns", self.ns)
            for reading in (gatewaycore_asgi.reading, gatewaycore_wsgi.reading):
                patched.setattr(reading, "_now", lambda zone: self.now.astimezone(zone))
            yield


class Log(logging.Handler):
    """Keeps every record, with its error's whole story."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[bytes] = []

    def emit(self, record: logging.LogRecord) -> None:
        story = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.said.append(f"{record.getMessage()} {record.args!r} {story}".encode())

    @contextmanager
    def listening(self) -> Iterator[None]:
        log = logging.getLogger("gatewaycore")
        before = log.level
        log.addHandler(self)
        log.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            log.setLevel(before)
            log.removeHandler(self)


class Player:
    """Plays a week to a service, through both adapters.

    Attributes:
        errors: bodies of what the gateway itself has refused.
        events: how many visits should have left one at least.
    """

    def __init__(self, service: Service, week: Week, clock: Clock) -> None:
        self.service, self.week, self.clock = service, week, clock
        self.errors: list[bytes] = []
        self._asgi, self._wsgi = AsgiApp(service), WsgiApp(service)
        # House is kept, and events are shipped, when the week says so.
        self._asgi._started = self._wsgi._started = True
        self._runner = asyncio.Runner()

    def visit(self, visit: Visit) -> None:
        address = OWN if visit.through == "own" else self.week.callers[visit.caller]
        spelled = spellings(address)[visit.spelling % len(spellings(address))]
        method, host, path, query = visit.asked
        escaped = escapes(spelled)[visit.escape]
        peer, lines_ = address, [(name, value.replace("@", spelled)) for name, value in visit.fields]
        if "User-Agent" not in dict(visit.fields):
            lines_.append(("User-Agent", visit.agent))
        if visit.through in ("x-forwarded-for", "forwarded"):
            bare = address.partition("%")[0]
            node = f'"[{bare}]"' if ":" in bare else bare
            peer = PROXY
            lines_.append(("X-Forwarded-For", bare) if visit.through == "x-forwarded-for" else ("Forwarded", f"for={node};proto=https"))
        elif visit.through == "claim":
            lines_ += [("X-Forwarded-For", ", ".join(self.week.behind)), ("Forwarded", f"for={self.week.behind[0]}")]
        if visit.opted_out:
            lines_.append(("Sec-GPC", "1"))
        body = visit.body.replace("LARGE", "x" * 70_000).replace("@", spelled).encode() if method == "POST" else b""
        host = host.replace("@", spelled if ":" not in spelled or spelled.startswith("[") else f"[{spelled}]")
        asked = Asked(method, f"https://{host}{path.replace('@', escaped)}?{query.replace('@', escaped)}".rstrip("?"), tuple(lines_), body)
        if visit.world == "asgi":
            done = answered(self._runner.run(drive(self._asgi, scope_of(asked, client=(peer, 50_000)), body)), [])
        else:
            done = call(self._wsgi, environ_of(asked, REMOTE_ADDR=peer))
        if done.status >= 400 and done.body and "docker." not in host:
            self.errors.append(done.body)

    def play(self) -> Iterator[int]:
        """Play the days; yields the number of each at its end."""
        for day, asked in enumerate(self.week.days):
            for hour, visit in enumerate(asked):
                self.clock.now = self.week.begins + timedelta(days=day, hours=hour, minutes=visit.caller)
                try:
                    self.visit(visit)
                except UpstreamBrokenError as error:
                    # What was promised does not come: the server cuts the connection, and writes this down.
                    self.errors.append("".join(traceback.format_exception(error)).encode())
            self.service.keep_house(self.clock.ns())
            self.ship()
            yield day

    def ship(self) -> None:
        shipper = self.service.shipper
        assert shipper is not None
        assert shipper.acquire()
        shipper.ship()
        assert not shipper.failing, shipper.failing

    def close(self) -> None:
        self._runner.run(self._asgi.aclose())
        self._runner.close()
        self._wsgi.close()


def play(week: Week, stores: Stores, sought: set[str]) -> list[Event]:
    """Play a week, look for its addresses everywhere, and return its events."""
    clock, log, salts = Clock(week.begins), Log(), set[bytes]()
    addresses = {*week.callers, *week.behind}
    sought |= addresses
    with Upstream(answer) as upstream, clock.running(), log.listening():
        service = Service.open(read_config(config(upstream.authority, week, stores.sinks)), stores.folder / "data")
        player = Player(service, week, clock)
        try:
            for _ in player.play():
                salts.add(service.recorder._salts.key)
                # Nothing of a caller outlives its answer: not on disk, nor in what the gateway remembers.
                remembered = held(service)
                assert not found_in(remembered, addresses) or [line for line in remembered.split(b"\n") if found_in(line, addresses)] == []
            # The salt of the last day: those before are gone, from the disk and from memory.
            gone = salts - {service.recorder._salts.key}
            assert len(salts) == (7 if week.rotation == "day" else 1 + (week.begins.day > 24))
            remembered = held(service)
            assert not [key for key in gone if key in remembered]
        finally:
            player.close()
    kept = {**{f"data/{name}": content for name, content in files(stores.folder).items()}, **stores.contents()}
    kept |= {"log": lines(log.said), "errors": lines(player.errors)}
    assert {name: found for name, content in kept.items() if (found := found_in(content, addresses))} == {}
    assert not [name for name, content in kept.items() for key in gone if key in content or key.hex().encode() in content]
    return [decode(line) for name, content in kept.items() if name == "data/out.jsonl" for line in content.splitlines()]


@pytest.mark.e2e
def test_a_week_leaves_no_address_anywhere(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Postgres,
    nats: Nats,
    clickhouse: Clickhouse,
    kafka: Kafka,
    capfd: pytest.CaptureFixture[str],
) -> None:
    since = time.time()
    sought: set[str] = set()
    seen: list[Event] = []

    @settings(
        deadline=None,
        max_examples=many(3),
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(week=weeks())
    def run(week: Week) -> None:
        with Receiver() as receiver:
            stores = Stores(tmp_path_factory.mktemp("week"), postgres, nats, clickhouse, kafka, receiver)
            assert {sink["type"] for sink in stores.sinks} == set(SINKS)
            seen.extend(play(week, stores, sought))

    run()
    out, err = capfd.readouterr()
    assert found_in((out + err).encode(), sought) == []
    # Everything was there to be written down, and without addresses there is still something to see.
    assert {event.package_type for event in seen} >= {"file", "event", "pixel", "catch-all", "python", "container"}
    assert {event.decision for event in seen} == {"redirect", "respond", "proxy"}
    for column in ("version", "page", "user_agent", "domain"):
        assert any(REDACTED in (getattr(event, column) or "") for event in seen), column
    # The servers' own files, their logs of changes among them.
    for folder in (postgres.folder, Path(nats.program.log.parent)):
        written = files(folder, since)
        assert written
        assert {name: found for name, content in written.items() if (found := stand_in(content, sought))} == {}


# --- the search itself ---------------------------------------------------------------------------------------------------

CALLERS = ("203.0.113.7", "2001:db8:7::99", "::ffff:198.51.100.9", "fe80::77:88%eth0")


@pytest.mark.parametrize("address", CALLERS)
def test_every_spelling_is_found(address: str) -> None:
    others = ["203.0.113.8", "2001:db8:7::98", "198.51.100.10"]
    found = 0
    for spelled in spellings(address):
        for text in (spelled, *escapes(spelled), "".join(f"\\u{ord(character):04x}" for character in spelled)):
            for content in (
                text.encode(),
                text.encode("utf-16-le"),
                f'{{"x":"from {text}, {text}"}}'.encode(),
                f"/{text}/1.2.3?a={text}&b".encode(),
            ):
                assert found_in(content, [address, *others]) == [address], content
                found += 1
    assert found > 100
    for form in packed(address):
        assert found_in(b"\0x" + form + b"x\0", [address, *others]) == [address]
        assert stand_in(b"\0x" + form + b"x\0", [address, *others]) == [address]
    assert stand_in(b"\0x" + address.partition("%")[0].upper().encode(), [address, *others]) == [address]
    bare = address.partition("%")[0]
    parsed = IPv4Address(bare) if ":" not in bare else IPv6Address(bare).ipv4_mapped or IPv6Address(bare)
    assert found_in(f"n={int(parsed)}".encode(), [address, *others]) == [address]


def test_what_is_not_the_address_is_not_found() -> None:
    for text in (
        "1203.0.113.7",
        "203.0.113.70",
        "203.0.113.7.1",
        "v9.203.0.113.7",
        "2001:db8:7::990",
        "12:30:45",
        "sha256:ab::",
        "3405803783000",
    ):
        assert found_in(text.encode(), CALLERS) == [], text


@pytest.mark.e2e
def test_what_a_process_holds_is_found(tmp_path: Path) -> None:
    # Put together here, so that no constant of this module is it.
    address = ".".join(["203", "0", "113", "199"])
    remember = lru_cache(lambda text: {"known": text})
    remember(address)
    leaks: tuple[object, ...] = ({"who": [(address,)]}, remember, lambda: address, deque([{address.encode()}]))
    service = Service.open(read_config({"packages": [], "sinks": []}), tmp_path)
    try:
        assert found_in(held(service), [address]) == []
        for leak in leaks:
            service.counter = leak  # type: ignore[assignment]
            assert found_in(held(service), [address]) == [address]
        service.counter = None
        assert found_in(held(service), [address]) == []
    finally:
        service.close()
