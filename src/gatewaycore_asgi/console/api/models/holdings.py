"""Models of packages, collections, pixels and domains. Passwords of definitions are hidden in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from attrs import frozen

from gatewaycore.access import Domain, DomainState, Kind, Proof, Role, Seen, hidden
from gatewaycore.proving import Record
from gatewaycore_asgi.console.api.models.words import Word


@frozen(kw_only=True)
class PackageTold:
    """A package or a collection. `role` is what you may do with it, null where you see it because it `is_public`.

    `definition` is the entry of a configuration file; null for one that stands in the file, which `is_read_only` here, and for those who
    may not change it. A password in it is shown as "********". `version` is its `ETag`. `left_out` says why it is not served, to those who
    may change it; null where it is.
    """

    key: str
    kind: Kind
    organisation: str
    role: Role | None
    is_public: bool
    is_read_only: bool
    definition: dict[str, Any] | None
    left_out: str | None
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, seen: Seen, names: Mapping[str, str], left_out: Mapping[tuple[Kind, str], str]) -> PackageTold:
        """Return what is told of it."""
        found = seen.holding
        may_change = seen.role in ("admin", "owner")
        return cls(
            key=found.key,
            kind=found.kind,
            organisation=names.get(found.organisation_id, ""),
            role=seen.role,
            is_public=found.is_public,
            is_read_only=found.definition is None,
            definition=hidden(found.definition) if may_change and found.definition is not None else None,
            left_out=left_out.get((found.kind, found.key)) if may_change else None,
            version=found.version,
            created_at=found.created_at,
            updated_at=found.updated_at,
        )


@frozen(kw_only=True)
class PackagePage:
    """Packages or collections that you have a role for, by key."""

    items: list[PackageTold]
    next: str | None


@frozen(kw_only=True)
class NewPackage:
    """A package or a collection to be made: an entry of a configuration file, and the organisation whose it is to be."""

    organisation: Word
    definition: dict[str, Any]


@frozen(kw_only=True)
class NewDefinition:
    """An entry of a configuration file in the place of the one that there is."""

    definition: dict[str, Any]


@frozen(kw_only=True)
class NewSharing:
    """Whether everybody may see the numbers of a package."""

    is_public: bool


@frozen(kw_only=True)
class NewOwner:
    """The organisation that something is given to."""

    organisation: Word


@frozen(kw_only=True)
class RouteTold:
    """A way in: what is asked for at `domain`, and where that leads; null where it is answered here, or where that differs."""

    domain: str
    incoming: str
    outgoing: str | None
    rule: str


@frozen(kw_only=True)
class RoutePage:
    """The ways into a package, as they are served now."""

    items: list[RouteTold]
    next: str | None


@frozen(kw_only=True)
class PixelTold:
    """A pixel, where it is fetched, and the HTML to put into a page."""

    key: str
    organisation: str
    url: str
    html: str


@frozen(kw_only=True)
class PixelPage:
    """Pixels that you have a role for, by key."""

    items: list[PixelTold]
    next: str | None


@frozen(kw_only=True)
class RecordTold:
    """A DNS record to be set; `value` is null where the gateway does not know what it is to be.

    Those that are `instead` are for a domain on which no CNAME can stand, such as the apex of a zone.
    """

    type: Literal["TXT", "CNAME", "A", "AAAA"]
    name: str
    value: str | None
    instead: bool


@frozen(kw_only=True)
class SeenTold:
    """What the last look at a domain's records has seen: a few texts, cut where they are long, where CNAMEs lead to, and addresses."""

    txt: list[str]
    more_txt: int
    cname: list[str]
    addresses: list[str]

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> SeenTold | None:
        """Return what is told of it; None where nobody has looked yet."""
        if not seen:
            return None
        return cls(txt=seen["txt"], more_txt=seen["more-txt"], cname=seen["cname"], addresses=seen["addresses"])


@frozen(kw_only=True)
class DomainTold:
    """A domain that an organisation says is its own, how far that is proved, and the records that prove it.

    It is `pending` until they do, then `verified`; `failing` while they are gone and it is served on for a while, since `failing_since`;
    and `lost` after that. `reason` says what is wrong, or why the last look has told nothing. `proof` says what it is proved by: an
    operator's word, and one that the gateway supplies, need no records. `next_at` is when it is looked at again.
    """

    name: str
    organisation: str
    state: DomainState
    reason: str
    proof: Proof
    records: list[RecordTold]
    seen: SeenTold | None
    checked_at: datetime | None
    next_at: datetime | None
    failing_since: datetime | None
    verified_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, found: Domain, names: Mapping[str, str], records: Sequence[Record]) -> DomainTold:
        """Return what is told of it."""
        told = [RecordTold(type=one.type, name=one.name, value=one.value, instead=one.instead) for one in records]
        return cls(
            name=found.name,
            organisation=names.get(found.organisation_id, ""),
            state=found.state,
            reason=found.reason,
            proof=found.proof,
            records=told,
            seen=SeenTold.of(found.seen),
            checked_at=found.checked_at,
            next_at=found.next_at,
            failing_since=found.failing_since,
            verified_at=found.verified_at,
            created_at=found.created_at,
        )


@frozen(kw_only=True)
class DomainPage:
    """Domains of your organisations, by name."""

    items: list[DomainTold]
    next: str | None


@frozen(kw_only=True)
class NewDomain:
    """A domain that an organisation says is its own."""

    name: Word
    organisation: Word
