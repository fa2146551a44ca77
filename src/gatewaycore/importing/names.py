"""Names: what a field of a line means. No file and no clock.

A name that begins with ``$`` is reserved, as in a request's body; every other name is a variable. What a name means is found once, for
names come again in every line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gatewaycore.errors import ConfigError, Problem

RESERVED = frozenset(
    [
        "$time",
        "$type",
        "$package",
        "$pixel",
        "$unique_id",
        "$version",
        "$referrer",
        "$domain",
        "$user_agent",
        "$remote_address",
        "$headers",
        "$variables",
    ]
)
"""Names of an import that have a meaning of their own."""

GIVEN = ("country", "region", "city", "company", "company_domain", "connection", "cloud", "confidence", "origin_id", "endpoint_id")
"""Columns that may be given as ``$country`` and so on, by those who know them already: they win over what is looked up."""

GIVEN_NAMES: Mapping[str, str] = MappingProxyType({f"${name}": name for name in GIVEN})

PRESETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "scarf": MappingProxyType(
            {
                "id": "$unique_id",
                "type": "$type",
                "package": "$package",
                "pixel": "$pixel",
                "version": "$version",
                "time": "$time",
                "referer": "$referrer",
                "user_agent": "$user_agent",
                "variables": "$variables",
                "origin_id": "$origin_id",
                "country": "$country",
                "city": "$city",
                "state": "$region",
                "connection_type": "$connection",
                "company": "$company",
                "company_domain": "$company_domain",
                "confidence": "$confidence",
                "endpoint_id": "$endpoint_id",
            }
        ),
    }
)
"""What the columns of another product's export mean."""

_NESTED = ("$headers.", "$variables.")
_PLAIN = re.compile(r"\$[A-Za-z_][A-Za-z0-9_.]{0,40}")
# A column of this name that nobody has said to be the address would be kept as a variable.
_ADDRESSES = re.compile(
    r"(?:(?:remote|client|user|visitor|source|src|peer|x?real|trueclient|cfconnecting)?(?:ip(?:v[46])?|addr|ipaddr)(?:ess)?)"
    r"|remotehost|x?forwardedfor"
)
_NOT_LETTERS = re.compile(r"[^a-z0-9]")
_MOST_KNOWN = 10_000


class LineError(ValueError):
    """A line that is not taken; the message is the reason, and repeats nothing that it holds but names that are harmless."""


class Names:
    """Tells which names a line may have. What it has seen is remembered, up to some thousands.

    Args:
        renamed: what the operator said a name means: a reserved name, another variable, or "" for nothing.
    """

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self._renamed = dict(renamed)
        self._known = set(RESERVED) | set(GIVEN_NAMES)

    def apply(self, fields: dict[str, str]) -> dict[str, str]:
        """Return the fields under the names that they are to have.

        Raises:
            LineError: a name is reserved and unknown, or says that it is an address.
        """
        if self._renamed:
            fields = self._rename(fields)
        for name in fields.keys() - self._known:
            check_name(name)
            if len(self._known) < _MOST_KNOWN:
                self._known.add(name)
        return fields

    def _rename(self, fields: dict[str, str]) -> dict[str, str]:
        renamed: dict[str, str] = {}
        for name, value in fields.items():
            wanted = self._renamed.get(name)
            if wanted is None:
                # "variables.a" of a column "variables" that is an object.
                head, dot, rest = name.partition(".")
                found = self._renamed.get(head) if dot else None
                wanted = name if found is None else found and f"{found}.{rest}"
            if wanted:
                renamed[wanted] = value
        return renamed


def check_name(name: str) -> None:
    """Hold a name to those that a line may have.

    Raises:
        LineError: it is reserved and unknown, or says that it is an address.
    """
    if name[:1] == "$":
        if name not in RESERVED and name not in GIVEN_NAMES and not name.startswith(_NESTED):
            said = name if _PLAIN.fullmatch(name) else "a name that begins with $"
            raise LineError(f"{said} is reserved, and none that is known")
    elif _ADDRESSES.fullmatch(_NOT_LETTERS.sub("", name.lower())):
        raise LineError("a field that is called an address: map it to $remote_address, or to nothing")


def read_map(pairs: Iterable[str], preset: str | None = None) -> dict[str, str]:
    """Return what the operator said names mean.

    Args:
        pairs: each ``column=$field``, ``column=variable`` or ``column=``.
        preset: one of `PRESETS`, over which they win.

    Raises:
        ConfigError: one is no pair, or names what there is not. Holds all that is wrong.
    """
    renamed = dict(PRESETS[preset]) if preset is not None else {}
    problems: list[Problem] = []
    for pair in pairs:
        name, equals, wanted = pair.rpartition("=")
        if not equals or not name:
            problems.append(Problem("--map", f"{pair!r} is no pair", "write column=$field; column= leaves it out"))
            continue
        if wanted[:1] == "$" and wanted not in RESERVED and wanted not in GIVEN_NAMES:
            known = ", ".join(sorted([*RESERVED, *GIVEN_NAMES]))
            problems.append(Problem("--map", f"{wanted!r} is no field", f"one of {known}"))
        renamed[name] = wanted
    if problems:
        raise ConfigError(problems)
    return renamed
