"""Standing: which role somebody has where, and what they may not do. Every change asks here first."""

from __future__ import annotations

import sqlalchemy as sa

from gatewaycore.access.records import Principal
from gatewaycore.access.roles import NEEDED, Role, Scope, covers, greatest
from gatewaycore.access.tables import GRANTS, MEMBERS
from gatewaycore.errors import AccessError, UnknownError


def role_in(connection: sa.Connection, principal: Principal, organisation_id: str) -> Role | None:
    """Return somebody's role in an organisation; None where they have none, or their token does not reach it."""
    if principal.organisation_id not in (None, organisation_id):
        return None
    if principal.user.is_operator:
        return "owner"
    query = sa.select(MEMBERS.c.role).where(MEMBERS.c.organisation_id == organisation_id, MEMBERS.c.user_id == principal.user.id)
    return connection.execute(query).scalar()


def role_for(connection: sa.Connection, principal: Principal, organisation_id: str, holding_id: str | None) -> Role | None:
    """Return somebody's role for a package: that in its organisation, or a greater one that they were given for the package."""
    if principal.organisation_id not in (None, organisation_id):
        return None
    given = None
    if holding_id is not None:
        query = sa.select(GRANTS.c.role).where(GRANTS.c.holding_id == holding_id, GRANTS.c.user_id == principal.user.id)
        given = connection.execute(query).scalar()
    return greatest([role_in(connection, principal, organisation_id), given])


def require(principal: Principal, role: Role | None, scope: Scope, what: str, needed: Role | None = None) -> None:
    """Refuse what somebody may not do.

    Args:
        principal: who asks.
        role: the one that they have there.
        scope: what it takes of their token.
        what: what it is about, in words.
        needed: the role it takes; that of the scope without.

    Raises:
        UnknownError: they have no role there: nothing is told, not even that it exists.
        AccessError: theirs is not enough, or their token is not for that.
    """
    if role is None:
        raise UnknownError(f"there is no {what} that you may see")
    least = needed or NEEDED[scope]
    if not covers(role, least):
        raise AccessError(f"this takes the role {least}, and you are {role} of this {what}")
    if not principal.holds(scope):
        raise AccessError(f"this takes a token with the scope {scope}")


def require_operator(principal: Principal, scope: Scope = "admin") -> None:
    """Refuse what only those may do who run the gateway.

    Raises:
        AccessError: they do not, or their token is not for that.
    """
    if not principal.runs_the_gateway:
        raise AccessError("only operators of the gateway may do this")
    if not principal.holds(scope):
        raise AccessError(f"this takes a token with the scope {scope}")
