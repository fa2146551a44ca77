"""Models of users, organisations, members and tokens. No secret is in one but a new one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from attrs import frozen
from msgspec import Meta

from gatewaycore.access import Member, Organisation, Role, Scope, Token, User
from gatewaycore_asgi.console.api.models.words import Title, Word


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
