"""Columns: what an export has, under which name. No file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.event import COLUMNS

OWN: Mapping[str, str] = MappingProxyType({name: name for name in COLUMNS})

PACKAGE, PIXEL = "$package", "$pixel"
"""The package of an event, where it is no pixel and where it is one."""

SETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "all": OWN,
        "scarf": MappingProxyType(
            {
                "id": "id",
                "type": "kind",
                "package": PACKAGE,
                "pixel": PIXEL,
                "version": "version",
                "time": "time",
                "referer": "page",
                "user_agent": "user_agent",
                "variables": "variables",
                "origin_id": "origin_id",
                "country": "country",
                "city": "city",
                "state": "region",
                "connection_type": "connection",
                "company": "company",
                "company_domain": "company_domain",
                "confidence": "confidence",
                "endpoint_id": "endpoint_id",
            }
        ),
    }
)
"""Columns by the name of the set: what they are called in the file, and which column of an event that is."""


def read_columns(text: str) -> Mapping[str, str]:
    """Return the columns that are meant: the name of a set, or names of columns with commas between them.

    Raises:
        ConfigError: there is no such column.
    """
    if text in SETS:
        return SETS[text]
    names: Sequence[str] = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in OWN]
    if unknown:
        what = f"{unknown[0]!r} is no column of an event"
        raise ConfigError([Problem("--columns", what, f"{', '.join(SETS)}, or some of {', '.join(OWN)}")])
    return {name: name for name in names}
