"""Definitions: what was made in the console and is to be served, and the number by which every process sees that it has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from gatewaycore.access.records import Kind
from gatewaycore.access.tables import AUDIT, COUNTERS, HOLDINGS
from gatewaycore.access.trail import new_id, note

Check: TypeAlias = Callable[[list[tuple[Kind, Mapping[str, Any]]]], None]
"""Finds out whether definitions can be used together with the configuration file; raises a `ConfigError` that names what is wrong.

One that could not be served before, whatever the reason, is no reason to refuse a change of another one."""

_RULES = "rules"


def rules_version(connection: sa.Connection) -> int:
    """Return the number that grows with every change of a definition."""
    return connection.execute(sa.select(COUNTERS.c.value).where(COUNTERS.c.name == _RULES)).scalar() or 0


def count_up(connection: sa.Connection) -> None:
    """Say that definitions have changed, or whose domains are. Whoever does so first waits for those who are at it: two changes that are
    checked beside each other, and not one after the other, could be served each by itself and not together."""
    counted = COUNTERS.update().where(COUNTERS.c.name == _RULES).values(value=COUNTERS.c.value + 1)
    if not connection.execute(counted).rowcount:
        connection.execute(COUNTERS.insert().values(name=_RULES, value=1))


def defined(connection: sa.Connection) -> list[tuple[Kind, Mapping[str, Any], str]]:
    """Return everything that was made, with its key, in the order in which it was made."""
    query = sa.select(HOLDINGS.c.kind, HOLDINGS.c.definition, HOLDINGS.c.key).where(HOLDINGS.c.definition.is_not(None))
    return [(kind, definition, key) for kind, definition, key in connection.execute(query.order_by(HOLDINGS.c.id))]


def adopt(connection: sa.Connection, found: Iterable[tuple[Kind, str]], organisation_id: str, at: datetime) -> None:
    """Take note of what stands in no definition, as an organisation's, unless it is known."""
    rows = connection.execute(sa.select(HOLDINGS.c.kind, HOLDINGS.c.key))
    known = {(kind, key) for kind, key in rows}
    new = [
        {
            "id": new_id(at),
            "organisation_id": organisation_id,
            "kind": kind,
            "key": key,
            "definition": None,
            "is_public": False,
            "version": 1,
            "created_at": at,
            "updated_at": at,
        }
        for kind, key in dict.fromkeys(found)
        if (kind, key) not in known
    ]
    if new:
        connection.execute(HOLDINGS.insert(), new)


def note_served(connection: sa.Connection, left_out: Mapping[tuple[Kind, str], str]) -> None:
    """Write down which definitions are left out, and which are no more; what stands there already is written once, whoever sees it.

    Args:
        connection: of the database.
        left_out: why, by kind and key.
    """
    actions = {f"{kind}.{what}": what for kind in ("package", "collection") for what in ("leave-out", "serve")}
    query = sa.select(AUDIT.c.action, AUDIT.c.subject, AUDIT.c.details).where(AUDIT.c.action.in_(actions)).order_by(AUDIT.c.id)
    last: dict[tuple[str, str], str] = {}
    for action, subject, details in connection.execute(query):
        last[action.partition(".")[0], subject] = details.get("why", "") if actions[action] == "leave-out" else ""
    rows = connection.execute(
        sa.select(HOLDINGS.c.kind, HOLDINGS.c.key, HOLDINGS.c.organisation_id).where(HOLDINGS.c.definition.is_not(None))
    )
    for kind, key, organisation_id in rows.all():
        why = left_out.get((kind, key), "")
        if why != last.get((kind, key[:500]), ""):
            note(connection, None, f"{kind}.leave-out" if why else f"{kind}.serve", key, organisation_id, {"why": why} if why else {})
