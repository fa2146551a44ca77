"""Acme's year, for looking at: what is distributed grows, versions are released and taken up, and callers have habits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from math import exp
from typing import Any

import msgspec
from attrs import frozen

from gatewaycore.enrich import ENRICHMENTS
from gatewaycore.enrich.caller import Caller
from gatewaycore.event import SCHEMA
from gatewaycore.synthetic.acme import CLIENTS, CLOUDS, COMPANIES, OFFERS, PAGES, PLACES, PLATFORMS, Offer
from gatewaycore.synthetic.scene import Pool, identifier, stamped

_encode = msgspec.json.Encoder().encode
_DAYS = 365
_WORK = (2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 19, 16, 18, 20, 19, 17, 13, 9, 7, 7, 6, 5, 3)
_MACHINES = (8, 9, 10, 9, 8, 8, 8, 9, 11, 12, 12, 12, 11, 12, 12, 12, 11, 10, 9, 9, 8, 8, 8, 8)
_WEEK = (1.0, 1.07, 1.1, 1.06, 0.93, 0.36, 0.33)
_TAKEN_UP_DAYS, _GIVEN_UP_DAYS, _STAYS = 6.0, 24.0, 0.04
_RELEASE_RUSH = 0.5
_HOUR_S = 3600


@frozen
class Year:
    """A year of Acme's events, until a moment.

    Attributes:
        events: how many.
        until: when it ends.
        seed: the same for the same events.
        domain: of which Acme's domains are parts.
        callers: how many there are.
    """

    events: int
    until: datetime
    seed: int = 1
    domain: str = "acme.localhost"
    callers: int = 6_000

    @property
    def first(self) -> date:
        """The first day."""
        return self.until.astimezone(UTC).date() - timedelta(days=_DAYS - 1)

    def days_of_lines(self) -> Iterator[list[bytes]]:
        """Iterate over the days: the lines of each, in the order of their times."""
        chance = random.Random(self.seed)  # noqa: S311 - no secret
        callers = [_caller(chance) for _ in range(self.callers)]
        crowds: dict[str, _Crowd] = {}
        month = ""
        for number, counts in enumerate(self._counts()):
            day = self.first + timedelta(days=number)
            if f"{day:%Y-%m}" != month:
                month = f"{day:%Y-%m}"
                crowds = {family: _Crowd(self, family, callers, month) for family in CLIENTS}
            yield self._lines(chance, number, day, counts, crowds)

    def _counts(self) -> Iterator[list[int]]:
        """Iterate over the days: how many events each offer has."""
        shares = [[_share(offer, number, self.first + timedelta(days=number)) for offer in OFFERS] for number in range(_DAYS)]
        scale = self.events / sum(map(sum, shares))
        done, wanted = 0, 0.0
        for day in shares:
            counts = []
            for share in day:
                wanted += share * scale
                # What is left over from one goes to the next: all of them together are as many as were asked for.
                counts.append(round(wanted) - done)
                done += counts[-1]
            yield counts

    def _lines(self, chance: random.Random, number: int, day: date, counts: list[int], crowds: dict[str, _Crowd]) -> list[bytes]:
        events: list[tuple[int, bytes, bytes]] = []
        end_us = _until_us(self.until, day)
        for offer, count in zip(OFFERS, counts, strict=True):
            if not count:
                continue
            what = Pool(_asked(offer, number, self.domain)).take(chance, count)
            families = Pool((family, share) for family, share in offer.clients).take(chance, count)
            for piece, family in zip(what, families, strict=True):
                at, who = crowds[family].take(chance, offer.domain)
                # Of the last day, as much as there is.
                events.append((at if at < end_us else at % end_us, piece, who))
        events.sort()
        return stamped(chance, day, events)


def _share(offer: Offer, number: int, day: date) -> float:
    """Return how often it is asked for on a day: it grows, rests at week-ends, and every release is looked at."""
    if offer.releases and number <= offer.releases[0][0]:
        return 0.0
    rush = sum(exp((at - number) / 3) for at, _ in offer.releases if at < number)
    week = _WEEK[day.weekday()] * (1 if 2 < (day - date(day.year, 1, 1)).days < 356 else 0.45)
    wave = 1 + 0.12 * (((number * 7 + len(offer.package) * 13) % 17) / 17 - 0.5)
    grown: float = offer.growth ** (number / _DAYS)
    return offer.share * grown * week * wave * (1 + _RELEASE_RUSH * rush)


def _until_us(until: datetime, day: date) -> int:
    """Return how much of a day there is, in microseconds."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return max(1, min(24 * _HOUR_S * 1_000_000, int((until - midnight).total_seconds() * 1_000_000)))


def _versions(offer: Offer, number: int) -> Iterator[tuple[str | None, float]]:
    """Iterate over the versions that are out on a day, with their shares: a new one is taken up in days, an old one given up in weeks."""
    if not offer.releases:
        yield None, 1.0
    out = [(at, version) for at, version in offer.releases if at < number]
    for place, (at, version) in enumerate(out):
        later = out[place + 1][0] if place + 1 < len(out) else None
        left = 1.0 if later is None else _STAYS + exp((later - number) / _GIVEN_UP_DAYS)
        yield version, (1 - exp((at - number) / _TAKEN_UP_DAYS)) * left


def _asked(offer: Offer, number: int, domain: str) -> Iterator[tuple[bytes, float]]:
    """Iterate over what is asked for of an offer on a day, with its share."""
    for version, share in _versions(offer, number):
        if offer.type == "pixel":
            for page, part in PAGES:
                yield _piece(offer, domain, page=page, variables={"page": page}), share * part
        elif offer.platforms or offer.type == "container":
            for platform, arch, part in PLATFORMS[: 2 if offer.type == "container" else None]:
                columns = {"platform": platform, "platform_recognised": True, "arch": arch}
                yield _piece(offer, domain, version=version, **columns, variables=_variables(offer, version, platform)), share * part
        else:
            yield _piece(offer, domain, version=version, variables=_variables(offer, version, None)), share


def _variables(offer: Offer, version: str | None, platform: str | None) -> dict[str, str]:
    named = {"version": version, "platform": platform if offer.platforms else None}
    if offer.kind == "event":
        named |= {"event": "start", "channel": "stable" if version and version.endswith(".0") else "beta"}
    elif offer.type == "python":
        named |= {"file-type": "wheel"}
    elif offer.type == "container":
        named = {"reference": version}
    return {name: value for name, value in named.items() if value is not None}


def _piece(offer: Offer, domain: str, **columns: Any) -> bytes:
    host = f"{offer.domain}.{domain}"
    fixed = {
        "schema": SCHEMA,
        "domain": host,
        "package": offer.package,
        "package_type": offer.type,
        "rule": f"{host}{offer.label}",
        "kind": offer.kind,
        "method": "POST" if offer.type in ("event", "install") else "GET",
        "status": 302 if offer.decision == "redirect" else 200,
        "decision": offer.decision,
        "target": offer.target,
        "bytes": 43 if offer.type == "pixel" else 0,
    }
    return _encode({name: value for name, value in {**fixed, **columns}.items() if value is not None and value != {}})[1:-1]


@frozen
class _Who:
    """A caller: what is known of it, and the hours that it keeps."""

    columns: bytes
    ahead: int
    is_machine: bool


def _caller(chance: random.Random) -> _Who:
    country, region, city, ahead, _ = chance.choices(PLACES, [place[-1] for place in PLACES])[0]
    columns: dict[str, Any] = {"country": country, "region": region, "city": city}
    is_machine = chance.random() < 0.45
    if is_machine:
        columns |= {"cloud": chance.choices(CLOUDS, [share for _, share in CLOUDS])[0][0], "connection": "hosting"}
    elif chance.random() < 0.6:
        name = COMPANIES[min(int(chance.paretovariate(0.5)), len(COMPANIES)) - 1]
        is_school = name.endswith("University")
        domain = f"{name.lower().replace(' ', '-')}.example"
        columns |= {"company": name, "company_domain": domain, "connection": "education" if is_school else "business"}
        columns["confidence"] = chance.choice((0.4, 0.6, 0.8, 0.9, 0.95))
    else:
        columns["connection"] = chance.choices(("isp", "unknown"), (9, 1))[0]
    return _Who(_encode({name: value for name, value in columns.items() if value is not None})[1:-1], ahead, is_machine)


class _Crowd:
    """Those who come with one family of clients in a month, under the identifiers that they have in it; some come often."""

    def __init__(self, year: Year, family: str, callers: list[_Who], month: str) -> None:
        chance = random.Random(f"{year.seed} {family}")  # noqa: S311 - no secret
        numbers = sorted(chance.sample(range(len(callers)), len(callers) // 3))
        self._key = f"{year.seed} {month}"
        self._family = family
        self._callers = callers
        self._clients = [_clients(family, is_machine) for is_machine in (False, True)]
        self._numbers = Pool((number, 1 / (place + 12)) for place, number in enumerate(chance.sample(numbers, len(numbers))))
        self._known: dict[tuple[int, str], bytes] = {}

    def take(self, chance: random.Random, domain: str) -> tuple[int, bytes]:
        """Return when in its day one comes, in microseconds, and what is known of it."""
        (number,) = self._numbers.take(chance, 1)
        who = self._callers[number]
        columns = self._known.get((number, domain))
        if columns is None:
            clients = self._clients[who.is_machine]
            client = clients[number % len(clients)]
            key = f"{self._key} {number} {domain}"
            ids = b'"origin_id":"%b","endpoint_id":"%b"' % (identifier(f"{key} {self._family}"), identifier(key))
            columns = self._known[number, domain] = b"%b,%b,%b" % (who.columns, client, ids)
        hour = chance.choices(range(24), _MACHINES if who.is_machine else _WORK)[0]
        return ((hour - who.ahead) % 24 * _HOUR_S * 1_000_000 + chance.randrange(_HOUR_S * 1_000_000)), columns


def _clients(family: str, is_machine: bool) -> list[bytes]:
    """Return what the gateway reads out of the User-Agents of a family."""
    written, versions = CLIENTS[family][-1 if is_machine else 0]
    enricher = ENRICHMENTS["client"]().open()
    found = []
    for version in versions:
        user_agent = written.format(version)
        columns = {**enricher.columns(Caller("", user_agent, "")), "user_agent": user_agent}
        # What the path said of platform and architecture stays.
        kept = {name: value for name, value in columns.items() if value is not None and name not in ("platform", "arch")}
        found.append(_encode(kept)[1:-1])
    return found
