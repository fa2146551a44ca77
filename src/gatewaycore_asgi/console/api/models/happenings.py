"""Models of what has happened: changes, events, imports. No address is in one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs
from attrs import field, frozen

from gatewaycore.access import Entry, hidden
from gatewaycore.importing.ledger import Status
from gatewaycore_asgi.console.api.uploads import Upload


@frozen(kw_only=True)
class EntryTold:
    """A change: who has made it, what, and of what; `actor` is null for the gateway itself."""

    id: str
    at: datetime
    actor: str | None
    token_id: str | None
    action: str
    subject: str
    organisation: str | None
    details: dict[str, Any]

    @classmethod
    def of(cls, found: Entry, names: Mapping[str, str]) -> EntryTold:
        """Return what is told of it."""
        shown = {name: hidden(value) if isinstance(value, Mapping) else value for name, value in found.details.items()}
        return cls(
            id=found.id,
            at=found.at,
            actor=found.actor,
            token_id=found.token_id,
            action=found.action,
            subject=found.subject,
            organisation=names.get(found.organisation_id or ""),
            details=shown,
        )


@frozen(kw_only=True)
class EntryPage:
    """Changes, the latest first."""

    items: list[EntryTold]
    next: str | None


@frozen(kw_only=True)
class EventPage:
    """Events, the latest first: columns that are empty are left out."""

    items: list[dict[str, Any]]
    next: str | None


@frozen(kw_only=True)
class LineTold:
    """A line that could not be taken, and why."""

    line: int
    reason: str


@frozen(kw_only=True)
class ImportTold:
    """What was sent to be imported, and what has become of it.

    `total` counts records that were read, `imported` events that were kept, `failed` records that could not be taken (of the first of which
    `errors` tells), `left_out` those of which nothing is kept, by the reason. One that was aborted and `can_resume` goes on where it was.
    `events` are the first ones of a dry run.
    """

    id: str
    status: Status
    reason: str
    is_dry_run: bool
    can_resume: bool
    bytes: int
    total: int
    imported: int
    failed: int
    left_out: dict[str, int]
    errors: list[LineTold]
    first: datetime | None
    last: datetime | None
    created_at: datetime
    changed_at: datetime
    events: list[dict[str, Any]] = field(factory=list)

    @classmethod
    def of(cls, found: Upload, can_resume: bool) -> ImportTold:
        """Return what is told of it."""
        same = {one.name: getattr(found, one.name) for one in attrs.fields(cls) if hasattr(found, one.name)}
        errors = [LineTold(line=line, reason=reason) for line, reason in found.errors]
        return cls(**{**same, "errors": errors, "can_resume": can_resume})


@frozen(kw_only=True)
class ImportPage:
    """Imports, the latest first."""

    items: list[ImportTold]
    next: str | None
