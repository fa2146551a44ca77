"""Sight: which packages and collections somebody may see, and the numbers of which."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import sqlalchemy as sa

from gatewaycore.access.database import Database
from gatewaycore.access.groups import Groups
from gatewaycore.access.owning import Owners, find, holding_of, unmade
from gatewaycore.access.records import Holding, Kind, Member, Principal
from gatewaycore.access.roles import Role, Scope, greatest
from gatewaycore.access.standing import require, role_for
from gatewaycore.access.tables import GRANTS, HOLDINGS, MEMBERS
from gatewaycore.errors import AccessError, UnknownError


@attrs.frozen
class Seen:
    """A package that somebody may see.

    Attributes:
        holding: what is known of it.
        role: what they may do with it; None when they see it because it is public.
    """

    holding: Holding
    role: Role | None


class Sight:
    """Packages and collections, as those see them who ask.

    Args:
        database: where they are.
        groups: know who has which role.
    """

    def __init__(self, database: Database, groups: Groups) -> None:
        self._database = database
        self._groups = groups

    def seen_by(self, by: Principal, kind: Kind = "package") -> list[Seen]:
        """Return what somebody has a role for, by key."""
        mine = sa.and_(MEMBERS.c.organisation_id == HOLDINGS.c.organisation_id, MEMBERS.c.user_id == by.user.id)
        given = sa.and_(GRANTS.c.holding_id == HOLDINGS.c.id, GRANTS.c.user_id == by.user.id)
        query = (
            sa.select(HOLDINGS, MEMBERS.c.role.label("of_organisation"), GRANTS.c.role.label("of_package"))
            .join(MEMBERS, mine, isouter=True)
            .join(GRANTS, given, isouter=True)
            .where(HOLDINGS.c.kind == kind)
            .order_by(HOLDINGS.c.key)
        )
        if not by.user.is_operator:
            query = query.where(sa.or_(MEMBERS.c.role.is_not(None), GRANTS.c.role.is_not(None)))
        if by.organisation_id is not None:
            query = query.where(HOLDINGS.c.organisation_id == by.organisation_id)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        operator: Role | None = "owner" if by.user.is_operator else None
        return [Seen(holding_of(row), greatest([operator, row["of_organisation"], row["of_package"]])) for row in rows]

    def numbers_seen_by(self, by: Principal, pulled: Iterable[str] = ()) -> tuple[str, ...] | None:
        """Return the keys of the packages whose numbers somebody may see; None when they may see those of all, whatever it is called.

        Args:
            by: who.
            pulled: keys of images that collections have admitted: they are of the organisations that the collections are of.

        Raises:
            UnknownError: there is none.
            AccessError: their token is not for that.
        """
        require(by, "member", "read", "package")
        if by.runs_the_gateway:
            return None
        found = {one.holding.key for one in self.seen_by(by)} | self.images_seen_by(by, pulled).keys()
        if not found:
            raise UnknownError("there is no package that you may see")
        return tuple(sorted(found))

    def images_seen_by(self, by: Principal, pulled: Iterable[str]) -> dict[str, str]:
        """Return those packages that nobody has made and whose numbers somebody may see, each with the id of its organisation.

        Args:
            by: who.
            pulled: keys, those of images that collections have admitted among them.
        """
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            known = set(connection.execute(sa.select(HOLDINGS.c.key).where(HOLDINGS.c.kind == "package")).scalars())
            owners, mine = Owners(connection), dict[str, bool]()
            for key in pulled:
                owner = None if key in known else owners.of(key)
                if owner is None:
                    continue
                if owner not in mine:
                    mine[owner] = role_for(connection, by, owner, None) is not None
                if mine[owner]:
                    found[key] = owner
        return found

    def public(self) -> frozenset[str]:
        """Return the keys of the packages whose numbers everybody may see."""
        query = sa.select(HOLDINGS.c.key).where(HOLDINGS.c.kind == "package", HOLDINGS.c.is_public)
        with self._database.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def look(self, key: str, by: Principal | None, kind: Kind = "package") -> Seen:
        """Return a package as somebody sees it.

        Args:
            key: what events call it. An image that a collection admits is of the collection's organisation; what else is not known is
                the home organisation's, but for what was another one's before it was deleted.
            by: None for somebody who has not signed in, and sees what is public.
            kind: which of the two.

        Raises:
            UnknownError: it is not there, or they may not see it.
            AccessError: their token is not for that.
        """
        with self._database.reading() as connection:
            holding = find(connection, kind, key)
            if holding is None and kind == "package" and by is not None:
                holding = self._unmade(connection, key, by)
            role = None
            if holding is not None and by is not None:
                role = role_for(connection, by, holding.organisation_id, holding.id or None)
        if holding is None or (role is None and not holding.is_public):
            raise UnknownError(f"there is no {kind} {key[:80]!r} that you may see")
        if by is not None and not by.holds("read"):
            raise AccessError("this takes a token with the scope read")
        return Seen(holding, role)

    def members(self, key: str, by: Principal) -> list[Member]:
        """Return who has a role for a package alone.

        Raises:
            UnknownError, AccessError: `by` may not see it.
        """
        with self._database.reading() as connection:
            now, _ = self._held(connection, "package", key, by, "read")
            return self._groups.granted(connection, now.id)

    def _held(self, connection: sa.Connection, kind: Kind, key: str, by: Principal, scope: Scope) -> tuple[Holding, Role | None]:
        now = self._known(connection, kind, key)
        role = role_for(connection, by, now.organisation_id, now.id)
        require(by, role, scope, kind)
        return now, role

    def _known(self, connection: sa.Connection, kind: Kind, key: str) -> Holding:
        now = find(connection, kind, key)
        if now is None:
            # In the words of `require`: what is not there and what is not theirs are told apart by nobody.
            raise UnknownError(f"there is no {kind} that you may see")
        return now

    def _unmade(self, connection: sa.Connection, key: str, by: Principal) -> Holding | None:
        """Return what nobody has made; None where it was an organisation's that has given it up, and those who ask run no gateway."""
        owners = Owners(connection, [key])
        owner = owners.of(key)
        if owner is None and not by.runs_the_gateway:
            return None
        return unmade(key, owner or owners.home.id, owners.home)
