"""Records: what the state database holds, as frozen classes. No secret is in one, and no hash of one either."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from gatewaycore.access.roles import Role, Scope, includes
from gatewaycore.proving import State

Kind: TypeAlias = Literal["package", "collection"]
DomainState: TypeAlias = State
Proof: TypeAlias = Literal["records", "operator", "supplied"]


@frozen(kw_only=True)
class User:
    """Somebody who can sign in.

    Attributes:
        id: a UUIDv7, as all ids here.
        name: unique; letters, digits, full stops, underscores and hyphens.
        is_operator: whether they run the gateway: owner of everything, and the only ones who make users and organisations.
        disabled_at: since when they cannot sign in; None when they can.
    """

    id: str
    name: str
    is_operator: bool
    created_at: datetime
    disabled_at: datetime | None


@frozen(kw_only=True)
class Token:
    """An access token, without its secret.

    Attributes:
        name: what it is for, in its maker's words.
        hint: the last four characters of the secret, to tell tokens apart.
        scopes: what it is for.
        organisation_id: it reaches this organisation alone; None for all of its user's.
        expires_at: None for never.
        used_on: the day (its midnight, UTC) on which it was last used; None for never.
    """

    id: str
    user_id: str
    name: str
    hint: str
    scopes: tuple[Scope, ...]
    organisation_id: str | None
    created_at: datetime
    expires_at: datetime | None
    used_on: datetime | None
    revoked_at: datetime | None


@frozen(kw_only=True)
class Principal:
    """Who asks: a user, by a token or by a session that was begun with one.

    Attributes:
        user: who.
        token_id: the token; None for the gateway's own commands, which whoever can read the data-dir may give.
        scopes: what it is for.
        organisation_id: it reaches this one alone.
    """

    user: User
    token_id: str | None = None
    scopes: tuple[Scope, ...] = ("admin",)
    organisation_id: str | None = None

    @property
    def runs_the_gateway(self) -> bool:
        """Whether they may do everything: an operator, by a token that reaches everything."""
        return self.user.is_operator and self.organisation_id is None

    def holds(self, scope: Scope) -> bool:
        """Tell whether the token is for that."""
        return includes(self.scopes, scope)


@frozen(kw_only=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        principal: who.
        csrf: what forms of this session carry.
        expires_at: when it ends by itself.
    """

    principal: Principal
    csrf: str = field(repr=False)
    expires_at: datetime


@frozen(kw_only=True)
class Organisation:
    """Packages, domains and people that belong together.

    Attributes:
        name: unique; as it stands in URLs.
        title: as people write it.
        is_home: whether it is the one that packages of the configuration file belong to.
    """

    id: str
    name: str
    title: str
    is_home: bool
    created_at: datetime


@frozen(kw_only=True)
class Member:
    """Somebody's role in an organisation, or for a package.

    Attributes:
        user: who.
        role: what they may do.
        since: when they were given it.
    """

    user: User
    role: Role
    since: datetime


@frozen(kw_only=True)
class Holding:
    """A package or a collection, as the state database knows it.

    Attributes:
        kind: which of the two.
        key: what events call the package (of a collection: its domain and pattern); unique.
        definition: the entry of `packages` or `collections`, as a configuration file has it; None for one of the file, which cannot be
            changed here.
        is_public: whether everybody may see its numbers.
        version: grows with every change.
    """

    id: str
    kind: Kind
    key: str
    organisation_id: str
    definition: Mapping[str, Any] | None
    is_public: bool
    version: int
    created_at: datetime
    updated_at: datetime


@frozen(kw_only=True)
class Domain:
    """A domain that an organisation says is its own.

    Attributes:
        name: lower-case, in A-labels; ``*.`` before it stands for every name there.
        challenge: what its TXT record has to hold.
        state: what the last look at its records has said.
        reason: why it is not verified, or what went wrong with the last look, in words; empty when nothing did.
        proof: by its records; or an operator's word; or it is one that the gateway supplies. Only the first is looked at again.
        seen: what the last look has seen, as `gatewaycore.proving.Seen.shown` tells it.
        checked_at: when it was last looked at.
        next_at: when it is due again; None for at once.
        failing_since: since when its records are gone.
    """

    id: str
    organisation_id: str
    name: str
    challenge: str
    state: DomainState
    reason: str
    checked_at: datetime | None
    verified_at: datetime | None
    created_at: datetime
    proof: Proof = "records"
    seen: Mapping[str, Any] = field(factory=dict)
    next_at: datetime | None = None
    failing_since: datetime | None = None


@frozen(kw_only=True)
class Entry:
    """A line of the audit log: who has changed what. Without addresses, and without secrets.

    Attributes:
        id: grows with time.
        actor: the user's name, as it was then; None for the gateway itself.
        token_id: by which token.
        action: such as ``package.create``.
        subject: what was changed, by name.
        organisation_id: whose it is; None for what is of the gateway as a whole.
        details: what else there is to know.
    """

    id: str
    at: datetime
    actor: str | None
    token_id: str | None
    action: str
    subject: str
    organisation_id: str | None
    details: Mapping[str, Any]
