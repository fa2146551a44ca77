"""Scenes: a year of somebody's downloads that never were, the same for the same seed.

For trying things out and for tests of what is asked of many events: packages and versions of which few are popular, callers who come back,
weeks with a week-end, days with a night. Lines are those that a recorder would write. Nobody's address is in them, for there is none.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Generic, TypeVar

import msgspec
from attrs import frozen

from gatewaycore.event import SCHEMA

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_HOUR_WEIGHTS = (3, 2, 2, 2, 2, 3, 4, 6, 9, 11, 12, 12, 11, 12, 13, 13, 12, 10, 8, 7, 6, 6, 5, 4)
_DAY_WEIGHTS = (1.0, 1.08, 1.1, 1.07, 0.95, 0.45, 0.4)
# Country, and the shares of callers that are there; one of them is not known.
_COUNTRIES = (
    ("US", 30),
    ("DE", 14),
    ("IN", 10),
    ("GB", 7),
    ("FR", 6),
    ("CN", 6),
    ("BR", 5),
    ("JP", 5),
    ("NL", 4),
    ("SE", 2),
    ("NZ", 1),
    (None, 10),
)
_CLIENTS = (
    ("curl", "8.5.0", "curl/8.5.0", "unknown", "program", 22),
    ("pip", "24.2", "pip/24.2 CPython/3.12.3", "unknown", "program", 20),
    ("pip", "23.0.1", "pip/23.0.1 CPython/3.11.2 CI", "ci", "environment", 18),
    ("docker", "27.1.1", "docker/27.1.1 go/go1.21.12", "unknown", "program", 12),
    ("containerd", "1.7.20", "containerd/1.7.20", "ci", "environment", 6),
    ("firefox", "131.0", "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0", "human", "browser", 14),
    ("googlebot", "2.1", "Mozilla/5.0 (compatible; Googlebot/2.1)", "bot", "name", 5),
    (None, None, None, "unknown", None, 3),
)
_TYPES = (("file", "download"), ("container", "pull"), ("python", "download"), ("pixel", "view"), ("event", "event"))
_PLATFORMS = (("linux", 60), ("darwin", 20), ("windows", 15), ("haiku", 1), (None, 4))
_CHANNELS = ("stable", "stable", "stable", "beta", "nightly", "", "früh & spät")
_CONFIDENCES = (0.25, 0.5, 0.75, 1.0)
_HOUR_US = range(3_600_000_000)
# Of the last 64 bits of an id: the variant, and what is left; odd, so that none comes twice.
_VARIANT, _TAIL, _STRIDE = 1 << 63, (1 << 62) - 1, 0x1E3779B97F4A7C15


@frozen
class Scene:
    """What is made up.

    Attributes:
        events: how many, over all days.
        seed: the same for the same events.
        first: the first day.
        days: how many.
        packages: how many; the second is asked for half as often as the first, the third a third as often, and so on.
        callers: how many come in a month.
        companies: how many.
    """

    events: int
    seed: int = 1
    first: date = date(2025, 11, 1)
    days: int = 365
    packages: int = 60
    callers: int = 40_000
    companies: int = 800

    def days_of_lines(self) -> Iterator[list[bytes]]:
        """Iterate over the days: the lines of each, in the order of their times."""
        chance = random.Random(self.seed)  # noqa: S311 - no secret
        packages = [_Package(self, number) for number in range(self.packages)]
        callers = _callers(self)
        calls: Pool[bytes] | None = None
        month = ""
        for number, count in enumerate(self._counts()):
            day = self.first + timedelta(days=number)
            if calls is None or f"{day:%Y-%m}" != month:
                month = f"{day:%Y-%m}"
                calls = Pool(_of_month(callers, f"{self.seed} {month}"))
            asked = Pool(pair for package in packages for pair in package.asked(number))
            yield _day(chance, day, asked.take(chance, count), calls.take(chance, count))

    def _counts(self) -> list[int]:
        """Return how many events each day has: more from week to week, fewer at week-ends."""
        weights = [_DAY_WEIGHTS[(self.first + timedelta(days=number)).weekday()] * (1 + number / self.days) for number in range(self.days)]
        ends = [round(self.events * part / sum(weights)) for part in accumulate(weights)]
        return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


class Pool(Generic[T]):
    """Things of which some are taken more often than others."""

    def __init__(self, pairs: Iterable[tuple[T, float]]) -> None:
        self._things, weights = zip(*pairs, strict=True)
        self._weights = list(accumulate(weights))

    def take(self, chance: random.Random, count: int) -> Sequence[T]:
        """Return so many of them."""
        return chance.choices(self._things, cum_weights=self._weights, k=count)


class _Package:
    """What is asked for of one package."""

    def __init__(self, scene: Scene, number: int) -> None:
        chance = random.Random(f"{scene.seed} package {number}")  # noqa: S311 - no secret
        self._name = f"acme/tool-{number}"
        self._share = 1 / (number + 1)
        self._type, self._kind = _TYPES[number % len(_TYPES)]
        self._domain = f"{('get', 'docker', 'py', 'px', 'in')[number % len(_TYPES)]}.acme.example"
        # Days of releases, the first one before it all begins.
        self._releases = [-1, *sorted(chance.sample(range(scene.days), min(scene.days, 4 + number % 20)))]
        self._pieces = [
            [_encode(self._columns(f"{1 + release // 10}.{release % 10}.0", platform, chance))[1:-1] for platform, _ in _PLATFORMS]
            for release in range(len(self._releases))
        ]

    def asked(self, day: int) -> Iterator[tuple[bytes, float]]:
        """Iterate over what is asked for on a day, with its share: half of it is the newest version, half of the rest the one before."""
        out = [number for number, at in enumerate(self._releases) if at < day]
        for age, release in enumerate(reversed(out[-6:])):
            for piece, (_, share) in zip(self._pieces[release], _PLATFORMS, strict=True):
                yield piece, self._share * share / 2**age

    def _columns(self, version: str, platform: str | None, chance: random.Random) -> dict[str, Any]:
        is_proxied = self._type == "container"
        columns: dict[str, Any] = {
            "schema": SCHEMA,
            "domain": self._domain,
            "package_type": self._type,
            "rule": f"{self._domain}/{self._name}",
            "kind": self._kind,
            "method": "GET",
            "status": chance.choices((302, 200, 404), (90, 8, 2))[0],
            "decision": "proxy" if is_proxied else "redirect" if self._type in ("file", "python") else "respond",
            "bytes": chance.randrange(1 << 34) if is_proxied else 43 if self._type == "pixel" else 0,
            "package": self._name,
        }
        if self._type == "pixel":
            columns["page"] = chance.choice(("/docs", "/docs/install", "", "/überblick"))
        else:
            columns["version"] = version
        variables = {"version": version, "channel": chance.choice(_CHANNELS)}
        if platform is not None:
            columns |= {"platform": platform, "platform_recognised": platform != "haiku"}
            variables["platform"] = platform
        return {**columns, "variables": variables}


def _callers(scene: Scene) -> list[bytes]:
    """Return what is known of each caller, whatever the month."""
    chance = random.Random(f"{scene.seed} callers")  # noqa: S311 - no secret
    clients = chance.choices(_CLIENTS, [one[-1] for one in _CLIENTS], k=scene.callers)
    countries = chance.choices(_COUNTRIES, [one[-1] for one in _COUNTRIES], k=scene.callers)
    return [_encode(_caller(scene, chance, *who))[1:-1] for who in zip(clients, countries, strict=True)]


def _caller(scene: Scene, chance: random.Random, kind: tuple[Any, ...], place: tuple[Any, ...]) -> dict[str, Any]:
    client, version, user_agent, agent, reason, _ = kind
    company = min(int(chance.paretovariate(0.6)), scene.companies) if chance.random() < 0.4 else None
    columns = {
        "client": client,
        "client_version": version,
        "os": "Linux" if client in ("curl", "docker", "containerd") else None,
        "agent": agent,
        "agent_reason": reason,
        "user_agent": user_agent,
        "country": place[0],
        "company": None if company is None else f"Company {company} GmbH",
        "company_domain": None if company is None else f"company-{company}.example",
        "connection": "business" if company is not None else chance.choice(("isp", "hosting", "unknown", None)),
        "confidence": chance.choice(_CONFIDENCES) if company is not None else None,
    }
    return {name: value for name, value in columns.items() if value is not None}


def _of_month(callers: Sequence[bytes], key: str) -> Iterator[tuple[bytes, float]]:
    """Iterate over callers with their identifiers of one month, which tell nothing of the next; few of them come often."""
    for number, caller in enumerate(callers):
        # Some share an address.
        origin, endpoint = identifier(f"{key} origin {number}"), identifier(f"{key} endpoint {number // 3}")
        yield b'%b,"origin_id":"%b","endpoint_id":"%b"' % (caller, origin, endpoint), 1 / (number + 10)


def identifier(text: str) -> bytes:
    """Return an identifier that the same text has, in the way that salts make them."""
    return blake2b(text.encode(), digest_size=16).hexdigest().encode()


def _day(chance: random.Random, day: date, asked: Sequence[bytes], callers: Sequence[bytes]) -> list[bytes]:
    """Return the lines of one day."""
    count = len(asked)
    hours, within = chance.choices(range(24), _HOUR_WEIGHTS, k=count), chance.choices(_HOUR_US, k=count)
    times = sorted(hour * 3_600_000_000 + part for hour, part in zip(hours, within, strict=True))
    return stamped(chance, day, zip(times, asked, callers, strict=True))


def stamped(chance: random.Random, day: date, events: Iterable[tuple[int, bytes, bytes]]) -> list[bytes]:
    """Return lines of one day.

    Args:
        chance: tells ids apart.
        day: which.
        events: the microsecond of each, in this order, and its columns in two pieces.
    """
    midnight_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    low = chance.getrandbits(62)
    lines = []
    for number, (at, what, who) in enumerate(events):
        second, micros = divmod(at, 1_000_000)
        # UUIDv7 (RFC 9562 §5.7): milliseconds, then what tells those of one millisecond apart.
        ms = b"%012x" % (midnight_ms + at // 1000)
        tail = b"%016x" % (_VARIANT | (low + number * _STRIDE) & _TAIL)
        id_ = b"%b-%b-7%03x-%b-%b" % (ms[:8], ms[8:], number & 0xFFF, tail[:4], tail[4:])
        time = b"%02d:%02d:%02d.%06d" % (second // 3600, second // 60 % 60, second % 60, micros)
        lines.append(b'{"id":"%b","time":"%bT%bZ",%b,%b}\n' % (id_, str(day).encode(), time, what, who))
    return lines
