"""Roles and scopes: who may do what. Pure: no store, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

Role: TypeAlias = Literal["member", "admin", "owner"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the least to the greatest. Members read; admins change things, and let people in; owners may do everything."""

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""What a token is for. Each holds those before it: numbers and lists; packages, collections, domains and imports; members and tokens."""

NEEDED: Final[dict[Scope, Role]] = {"read": "member", "write": "admin", "admin": "admin"}
"""The role that somebody must have to do what a scope is for."""


def greatest(roles: Iterable[Role | None]) -> Role | None:
    """Return the greatest of roles; None where there is none."""
    return max((role for role in roles if role is not None), key=ROLES.index, default=None)


def covers(role: Role | None, needed: Role) -> bool:
    """Tell whether a role is at least the one that is needed."""
    return role is not None and ROLES.index(role) >= ROLES.index(needed)


def includes(scopes: Iterable[Scope], needed: Scope) -> bool:
    """Tell whether scopes hold the one that is needed."""
    return any(SCOPES.index(scope) >= SCOPES.index(needed) for scope in scopes)


def may_grant(actor: Role | None, role: Role) -> bool:
    """Tell whether somebody may give a role to one who has none yet. Admins make members and admins, owners make owners too."""
    return covers(actor, "admin") and covers(actor, role)


def may_change(actor: Role | None, now: Role, role: Role | None) -> bool:
    """Tell whether somebody may change another's role, or take it away (`role` None).

    Admins remove members alone: neither admins nor owners.
    """
    if not covers(actor, "admin"):
        return False
    if actor == "owner":
        return True
    return now == "member" and (role is None or may_grant(actor, role))
