"""What the records of databases of addresses say, whoever has made them.

This room knows the records of those who publish such files: MaxMind (GeoIP2 and GeoLite2: Country, City, Enterprise, ASN, ISP, Domain,
Connection-Type, Anonymous-IP), DB-IP, IPinfo and ip-location-db. It goes by what a record holds and not by the name in the file's metadata:
names change, and people merge and relabel databases. Which company an organisation is, is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

__all__ = ["Connection", "Place", "first_text", "is_hosting", "line_type", "place_of", "traits_of", "user_type"]

Connection: TypeAlias = Literal["business", "isp", "hosting", "education", "unknown"]

_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_AS_NUMBER: Final = re.compile(r"(?:AS)?([0-9]{1,10})", re.IGNORECASE)
_NOBODY: Final[Mapping[str, Any]] = {}

# Who is at the other end. MaxMind's `user_type`, IPinfo's `type`; what is listed by neither is "unknown".
_USERS: Final[Mapping[str, Connection]] = {
    "business": "business",
    "cafe": "business",
    "government": "business",
    "military": "business",
    "cellular": "isp",
    "dialup": "isp",
    "isp": "isp",
    "residential": "isp",
    "traveler": "isp",
    "content_delivery_network": "hosting",
    "hosting": "hosting",
    "search_engine_spider": "hosting",
    "college": "education",
    "education": "education",
    "library": "education",
    "school": "education",
}
# What the line is made of says less, and is asked second: a business may sit behind a cable.
_LINES: Final[Mapping[str, Connection]] = {
    "cable/dsl": "isp",
    "cellular": "isp",
    "corporate": "business",
    "dialup": "isp",
    "satellite": "isp",
}


@frozen
class Place:
    """What a database knows of an address. Every field may be None.

    Attributes:
        country: ISO 3166-1 alpha-2, upper-case: "GB".
        region: the subdivision's part of ISO 3166-2 where the database has it ("ENG"), else its name.
        city: its English name where there is one.
        asn: the number of the autonomous system.
        organization: who uses the address, else who runs its network.
        domain: of the organisation.
        connection: what kind of network it is.
    """

    country: str | None = None
    region: str | None = None
    city: str | None = None
    asn: int | None = None
    organization: str | None = None
    domain: str | None = None
    connection: Connection | None = None


def place_of(record: Mapping[str, Any]) -> Place:
    """Return what a record says, as every make of database says it."""
    traits = traits_of(record)
    return Place(
        _country(record),
        _region(record),
        _name(record.get("city")),
        _as_number(traits.get("autonomous_system_number")) or _as_number(traits.get("asn")),
        first_text(traits, "organization", "name", "autonomous_system_organization", "as_name", "isp", "org"),
        first_text(traits, "domain", "as_domain"),
        _connection(traits),
    )


def traits_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a record says of the network and its user."""
    # MaxMind and DB-IP put it under "traits" in large databases, and at the top in small ones.
    return {**record, **_mapping(record.get("traits"))}


def _country(record: Mapping[str, Any]) -> str | None:
    country = record.get("country")
    # IPinfo's newer files have the name under "country" and the code beside it; its older ones the code.
    for code in (_mapping(country).get("iso_code"), record.get("country_code"), country):
        if isinstance(code, str) and _COUNTRY.fullmatch(code):
            return code.upper()
    return None


def _region(record: Mapping[str, Any]) -> str | None:
    subdivisions = record.get("subdivisions")
    if isinstance(subdivisions, list) and subdivisions:
        # The first is the largest: England before West Berkshire.
        largest = _mapping(subdivisions[0])
        return first_text(largest, "iso_code") or _name(largest)
    return first_text(record, "region_code", "region", "state1")


def _name(place: Any) -> str | None:
    if isinstance(place, str):
        return place.strip() or None
    names = _mapping(_mapping(place).get("names"))
    return first_text(names, "en", *names)


def _connection(traits: Mapping[str, Any]) -> Connection | None:
    return user_type(traits, "user_type", "type", "as_type") or ("hosting" if is_hosting(traits) else line_type(traits))


def user_type(traits: Mapping[str, Any], *keys: str) -> Connection | None:
    """Return who is at the other end by the first of `keys` that says something; "unknown" where it says what nobody knows."""
    user = first_text(traits, *keys)
    return None if user is None else _USERS.get(user.lower(), "unknown")


def is_hosting(traits: Mapping[str, Any]) -> bool:
    """Tell whether a record says that the network is a hosting provider's: True in MaxMind's files, "true" in IPinfo's."""
    return any(str(traits.get(key)).lower() == "true" for key in ("is_hosting_provider", "hosting", "is_hosting"))


def line_type(traits: Mapping[str, Any]) -> Connection | None:
    """Return what the line is made of tells of who is at its end."""
    line = first_text(traits, "connection_type")
    return None if line is None else _LINES.get(line.lower())


def _as_number(value: Any) -> int | None:
    if isinstance(value, str):
        found = _AS_NUMBER.fullmatch(value)
        return int(found[1]) or None if found else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def first_text(record: Mapping[str, Any], *keys: str) -> str | None:
    """Return the first of `keys` that holds some text."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOBODY
