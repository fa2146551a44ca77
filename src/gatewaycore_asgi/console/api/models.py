"""Models: what is sent and answered, as JSON has it; the document is made of them. No address is in one, and no secret but a new one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import attrs
from attrs import field, frozen
from msgspec import Meta

from gatewaycore.access import Domain, DomainState, Entry, Kind, Member, Organisation, Role, Scope, Seen, Token, User, hidden
from gatewaycore.importing.ledger import Status
from gatewaycore_asgi.console.api.uploads import Upload

Title: TypeAlias = Annotated[str, Meta(max_length=200)]
Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]


# --- people and organisations ------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class OrganisationTold:
    """An organisation. `role` is what you may do there; the packages of the configuration file belong to the one that `is_home`."""

    name: str
    title: str
    role: Role
    is_home: bool
    created_at: datetime

    @classmethod
    def of(cls, pair: tuple[Organisation, Role]) -> OrganisationTold:
        """Return what is told of it."""
        found, role = pair
        return cls(name=found.name, title=found.title, role=role, is_home=found.is_home, created_at=found.created_at)


@frozen(kw_only=True)
class OrganisationPage:
    """Organisations, by name."""

    items: list[OrganisationTold]
    next: str | None


@frozen(kw_only=True)
class NewOrganisation:
    """An organisation to be made: its name stays, for it is in URLs; without a title it is called by its name."""

    name: Word
    title: Title = ""


@frozen(kw_only=True)
class NewTitle:
    """Another title."""

    title: Title


@frozen(kw_only=True)
class Me:
    """Who asks, and by which token. `organisation` is the one that the token reaches alone."""

    name: str
    is_operator: bool
    token_id: str | None
    scopes: list[Scope]
    organisation: str | None
    organisations: list[OrganisationTold]


@frozen(kw_only=True)
class MemberTold:
    """Somebody's role."""

    name: str
    role: Role
    since: datetime

    @classmethod
    def of(cls, found: Member) -> MemberTold:
        """Return what is told of it."""
        return cls(name=found.user.name, role=found.role, since=found.since)


@frozen(kw_only=True)
class MemberPage:
    """Those who have a role, by name."""

    items: list[MemberTold]
    next: str | None


@frozen(kw_only=True)
class NewRole:
    """A role to be given."""

    role: Role


@frozen(kw_only=True)
class UserTold:
    """Somebody who can sign in, until `disabled_at`. Operators run the gateway: they may do everything."""

    name: str
    is_operator: bool
    created_at: datetime
    disabled_at: datetime | None

    @classmethod
    def of(cls, found: User) -> UserTold:
        """Return what is told of them."""
        return cls(name=found.name, is_operator=found.is_operator, created_at=found.created_at, disabled_at=found.disabled_at)


@frozen(kw_only=True)
class UserPage:
    """Users, by name."""

    items: list[UserTold]
    next: str | None


@frozen(kw_only=True)
class NewUser:
    """A user to be made, with a first token, so that they can make others."""

    name: Word
    is_operator: bool = False
    token_expires_at: datetime | None = None


@frozen(kw_only=True)
class MadeUser:
    """A user, and the secret of their first token. It is shown here, and never again."""

    user: UserTold
    secret: str


@frozen(kw_only=True)
class TokenTold:
    """A token, without its secret; `hint` is how that ends. It reaches `organisation` alone, where there is one; `used_on` is a day."""

    id: str
    name: str
    hint: str
    scopes: list[Scope]
    organisation: str | None
    created_at: datetime
    expires_at: datetime | None
    used_on: datetime | None

    @classmethod
    def of(cls, found: Token, names: Mapping[str, str]) -> TokenTold:
        """Return what is told of it."""
        return cls(
            id=found.id,
            name=found.name,
            hint=found.hint,
            scopes=list(found.scopes),
            organisation=names.get(found.organisation_id or ""),
            created_at=found.created_at,
            expires_at=found.expires_at,
            used_on=found.used_on,
        )


@frozen(kw_only=True)
class TokenPage:
    """Your tokens, the oldest first."""

    items: list[TokenTold]
    next: str | None


@frozen(kw_only=True)
class NewToken:
    """A token to be made. Each scope holds those before it: `read`, `write`, `admin`."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=3)]
    organisation: Word | None = None
    expires_at: datetime | None = None


@frozen(kw_only=True)
class MadeToken:
    """A token and its secret, which is shown here, and never again."""

    token: TokenTold
    secret: str


# --- packages ----------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class PackageTold:
    """A package or a collection. `role` is what you may do with it, null where you see it because it `is_public`.

    `definition` is the entry of a configuration file; null for one that stands in the file, which `is_read_only` here, and for those who
    may not change it. A password in it is shown as "********". `version` is its `ETag`.
    """

    key: str
    kind: Kind
    organisation: str
    role: Role | None
    is_public: bool
    is_read_only: bool
    definition: dict[str, Any] | None
    version: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, seen: Seen, names: Mapping[str, str]) -> PackageTold:
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


# --- domains -----------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class RecordTold:
    """A DNS record to be set; null where the gateway does not know what it is to be."""

    type: Literal["TXT", "CNAME"]
    name: str
    value: str | None


@frozen(kw_only=True)
class DomainTold:
    """A domain that an organisation says is its own, how far that is proved, and the records that prove it."""

    name: str
    organisation: str
    state: DomainState
    reason: str
    records: list[RecordTold]
    checked_at: datetime | None
    verified_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, found: Domain, names: Mapping[str, str], records: list[RecordTold]) -> DomainTold:
        """Return what is told of it."""
        return cls(
            name=found.name,
            organisation=names.get(found.organisation_id, ""),
            state=found.state,
            reason=found.reason,
            records=records,
            checked_at=found.checked_at,
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


# --- what has happened ---------------------------------------------------------------------------------------------------------


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
