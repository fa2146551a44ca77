"""Groups: organisations, and who has which role in them or for a single package."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.bounds import check_room
from gatewaycore.access.database import Database
from gatewaycore.access.people import check_name
from gatewaycore.access.records import Member, Organisation, Principal, User
from gatewaycore.access.roles import ROLES, Role, Scope, may_change, may_grant
from gatewaycore.access.standing import require, require_operator, role_in
from gatewaycore.access.tables import GRANTS, HOLDINGS, MEMBERS, ORGANISATIONS, USERS
from gatewaycore.access.trail import new_id, note
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.errors import AccessError, ConfigError, ConflictError, Problem, UnknownError


class Groups:
    """Organisations and roles.

    Args:
        database: where they are.
        clock: says what time it is, UTC.
        limits: how many members there may be.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], limits: ConsoleLimits = DEFAULT_CONSOLE_LIMITS) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits

    # --- organisations -------------------------------------------------------------------------------------------------

    def create(self, name: str, title: str = "", *, by: Principal | None = None, is_home: bool = False) -> Organisation:
        """Make an organisation. Operators do; whom they let in as owners does the rest.

        Raises:
            ConfigError: it is no name.
            ConflictError: it is taken.
            AccessError: `by` is no operator.
        """
        if by is not None:
            require_operator(by)
        at, checked = self._clock(), check_name(name, "name")
        made = Organisation(id=new_id(at), name=checked, title=_title(title, checked), is_home=is_home, created_at=at)
        with self._database.writing() as connection:
            try:
                connection.execute(ORGANISATIONS.insert().values(attrs.asdict(made)))
            except IntegrityError:
                raise ConflictError(f"there is an organisation {checked!r} already") from None
            note(connection, by, "organisation.create", checked, made.id)
        return made

    def home(self, name: str = "home") -> Organisation:
        """Return the organisation that packages of the configuration file belong to; it is made when there is none."""
        found = sa.select(ORGANISATIONS).where(ORGANISATIONS.c.is_home)
        with self._database.reading() as connection:
            row = connection.execute(found).mappings().first()
        if row is None:
            try:
                return self.create(name, is_home=True)
            except ConflictError:
                # Another process was quicker.
                with self._database.reading() as connection:
                    row = connection.execute(found).mappings().first()
                if row is None:
                    raise
        return Organisation(**row)

    def organisations(self, by: Principal) -> list[tuple[Organisation, Role]]:
        """Return the organisations that somebody has a role in, with the role, by name. Those in which they may see a package alone are not
        among them."""
        query = sa.select(ORGANISATIONS, MEMBERS.c.role).order_by(ORGANISATIONS.c.name)
        mine = sa.and_(MEMBERS.c.organisation_id == ORGANISATIONS.c.id, MEMBERS.c.user_id == by.user.id)
        query = query.join(MEMBERS, mine, isouter=by.user.is_operator)
        if by.organisation_id is not None:
            query = query.where(ORGANISATIONS.c.id == by.organisation_id)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [(_organisation(row), "owner" if by.user.is_operator else row["role"]) for row in rows]

    def organisation(self, name: str, by: Principal) -> tuple[Organisation, Role]:
        """Return an organisation by name, and the role that somebody has in it.

        Raises:
            UnknownError: it is not there, or they have none.
        """
        with self._database.reading() as connection:
            found = self.find(connection, name)
            role = None if found is None else role_in(connection, by, found.id)
        if found is None or role is None:
            raise UnknownError(f"there is no organisation {name[:80]!r} that you may see")
        return found, role

    def rename(self, name: str, title: str, by: Principal) -> Organisation:
        """Give an organisation another title. Its name stays: it is in URLs.

        Raises:
            UnknownError, AccessError: `by` may not.
        """
        with self._database.writing() as connection:
            found, role = self._standing(connection, name, by)
            require(by, role, "admin", "organisation")
            changed = attrs.evolve(found, title=_title(title, found.name))
            connection.execute(ORGANISATIONS.update().where(ORGANISATIONS.c.id == found.id).values(title=changed.title))
            note(connection, by, "organisation.rename", found.name, found.id, {"title": changed.title})
        return changed

    def delete(self, name: str, by: Principal) -> None:
        """Delete an organisation that holds nothing any more.

        Raises:
            UnknownError, AccessError: `by` may not: owners do.
            ConflictError: it holds packages, or those of the configuration file belong to it.
        """
        with self._database.writing() as connection:
            found, role = self._standing(connection, name, by)
            require(by, role, "admin", "organisation", "owner")
            if found.is_home:
                raise ConflictError("the packages of the configuration file belong to this organisation")
            if connection.execute(sa.select(HOLDINGS.c.id).where(HOLDINGS.c.organisation_id == found.id).limit(1)).first():
                raise ConflictError("it holds packages or collections: delete those first")
            connection.execute(ORGANISATIONS.delete().where(ORGANISATIONS.c.id == found.id))
            note(connection, by, "organisation.delete", found.name, found.id)

    def names(self) -> dict[str, str]:
        """Return the names of all organisations, by id."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(ORGANISATIONS.c.id, ORGANISATIONS.c.name))
            return {row.id: row.name for row in rows}

    @staticmethod
    def find(connection: sa.Connection, name: str) -> Organisation | None:
        """Return an organisation by name; None when there is none."""
        row = connection.execute(sa.select(ORGANISATIONS).where(ORGANISATIONS.c.name == name.strip().lower())).mappings().first()
        return None if row is None else Organisation(**row)

    def held(self, connection: sa.Connection, name: str, by: Principal, scope: Scope) -> Organisation:
        """Return an organisation by name, in which somebody may do what a scope is for.

        Raises:
            UnknownError, AccessError: they may not.
        """
        found, role = self._standing(connection, name, by)
        require(by, role, scope, "organisation")
        return found

    def _standing(self, connection: sa.Connection, name: str, by: Principal) -> tuple[Organisation, Role | None]:
        found = self.find(connection, name)
        if found is None:
            # In the words of `require`: what is not there and what is not theirs are told apart by nobody.
            raise UnknownError("there is no organisation that you may see")
        return found, role_in(connection, by, found.id)

    # --- members -------------------------------------------------------------------------------------------------------

    def members(self, name: str, by: Principal) -> list[Member]:
        """Return who has a role in an organisation, by name.

        Raises:
            UnknownError, AccessError: `by` may not see it.
        """
        with self._database.reading() as connection:
            found, role = self._standing(connection, name, by)
            require(by, role, "read", "organisation")
            return _members(connection, MEMBERS, MEMBERS.c.organisation_id == found.id)

    def set_role(self, name: str, user_name: str, role: Role, by: Principal | None) -> Member:
        """Give somebody a role in an organisation, or another one than they have.

        Args:
            name: of the organisation.
            user_name: of the user, who is there already.
            role: which.
            by: admins make members and admins, owners make owners; None for the gateway's own commands.

        Raises:
            UnknownError: the organisation or the user is not there.
            AccessError: `by` may not.
            ConflictError: there would be no owner any more, or there are as many members as may be.
        """
        with self._database.writing() as connection:
            found, actor = self._found(connection, name, by)
            return self._set(connection, MEMBERS, MEMBERS.c.organisation_id, found.id, user_name, role, by, actor, found.name, found.id)

    def remove(self, name: str, user_name: str, by: Principal) -> None:
        """Take somebody's role in an organisation away. Everybody may leave; admins remove members, owners anybody.

        Raises:
            UnknownError: the organisation is not there, or they have no role in it.
            AccessError: `by` may not.
            ConflictError: there would be no owner any more.
        """
        with self._database.writing() as connection:
            found, actor = self._found(connection, name, by)
            self._remove(connection, MEMBERS, MEMBERS.c.organisation_id, found.id, user_name, by, actor, found.name, found.id)

    def _found(self, connection: sa.Connection, name: str, by: Principal | None) -> tuple[Organisation, Role | None]:
        if by is not None:
            return self._standing(connection, name, by)
        found = self.find(connection, name)
        if found is None:
            raise UnknownError(f"there is no organisation {name[:80]!r}")
        return found, "owner"

    # --- single packages; `Holdings` knows which -------------------------------------------------------------------------

    def granted(self, connection: sa.Connection, holding_id: str) -> list[Member]:
        """Return who has a role for a package alone, by name."""
        return _members(connection, GRANTS, GRANTS.c.holding_id == holding_id)

    def grant(
        self,
        connection: sa.Connection,
        holding_id: str,
        user_name: str,
        role: Role,
        by: Principal,
        actor: Role | None,
        subject: str,
        organisation_id: str,
    ) -> Member:
        """Give somebody a role for a package alone; as `set_role`."""
        return self._set(connection, GRANTS, GRANTS.c.holding_id, holding_id, user_name, role, by, actor, subject, organisation_id)

    def revoke(
        self,
        connection: sa.Connection,
        holding_id: str,
        user_name: str,
        by: Principal,
        actor: Role | None,
        subject: str,
        organisation_id: str,
    ) -> None:
        """Take somebody's role for a package away; as `remove`."""
        self._remove(connection, GRANTS, GRANTS.c.holding_id, holding_id, user_name, by, actor, subject, organisation_id)

    # --- both ----------------------------------------------------------------------------------------------------------

    def _set(
        self,
        connection: sa.Connection,
        table: sa.Table,
        column: sa.Column[Any],
        place: str,
        user_name: str,
        role: Role,
        by: Principal | None,
        actor: Role | None,
        subject: str,
        organisation_id: str,
    ) -> Member:
        if role not in ROLES:
            raise ConfigError([Problem("role", f"{str(role)[:80]!r} is no role", ", ".join(ROLES))])
        if by is not None:
            require(by, actor, "admin", "organisation" if table is MEMBERS else "package")
        user = _user(connection, user_name)
        one = sa.and_(column == place, table.c.user_id == user.id)
        now: Role | None = connection.execute(sa.select(table.c.role).where(one)).scalar()
        if not (may_grant(actor, role) if now is None else may_change(actor, now, role)):
            raise AccessError(f"as {actor} you do not make {user.name} {role}" + (f", who is {now}" if now else ""))
        if now == "owner" and role != "owner" and table is MEMBERS:
            _keep_an_owner(connection, place, user.id)
        at = self._clock()
        if now is None:
            check_room(connection, column == place, self._limits.members, "members", by)
            connection.execute(table.insert().values({column.name: place, "user_id": user.id, "role": role, "since": at}))
        elif now != role:
            connection.execute(table.update().where(one).values(role=role, since=at))
        if now != role:
            note(connection, by, "member.set", subject, organisation_id, {"user": user.name, "role": role, "before": now})
        return Member(user=user, role=role, since=at)

    def _remove(
        self,
        connection: sa.Connection,
        table: sa.Table,
        column: sa.Column[Any],
        place: str,
        user_name: str,
        by: Principal,
        actor: Role | None,
        subject: str,
        organisation_id: str,
    ) -> None:
        leaves = user_name.strip().lower() == by.user.name
        if not leaves or actor is None:
            require(by, actor, "admin", "organisation" if table is MEMBERS else "package")
        elif not by.holds("admin"):
            raise AccessError("this takes a token with the scope admin")
        user = _user(connection, user_name)
        one = sa.and_(column == place, table.c.user_id == user.id)
        now: Role | None = connection.execute(sa.select(table.c.role).where(one)).scalar()
        if now is None:
            raise UnknownError(f"{user.name} has no role here")
        if not leaves and not may_change(actor, now, None):
            raise AccessError(f"as {actor} you do not remove {user.name}, who is {now}")
        if now == "owner" and table is MEMBERS:
            _keep_an_owner(connection, place, user.id)
        connection.execute(table.delete().where(one))
        note(connection, by, "member.remove", subject, organisation_id, {"user": user.name, "before": now})


def _keep_an_owner(connection: sa.Connection, organisation_id: str, user_id: str) -> None:
    """Refuse to let the last owner go: those of an organisation are the only ones who make others. Who is let in no more is none."""
    others = sa.select(MEMBERS.c.user_id).join(USERS, USERS.c.id == MEMBERS.c.user_id)
    mine = sa.and_(MEMBERS.c.organisation_id == organisation_id, MEMBERS.c.role == "owner", MEMBERS.c.user_id != user_id)
    others = others.where(mine, USERS.c.disabled_at.is_(None))
    if connection.execute(others.limit(1).with_for_update()).first() is None:
        raise ConflictError("this is the last owner: make another one first")


def _members(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> list[Member]:
    query = sa.select(USERS, table.c.role, table.c.since).join(table, table.c.user_id == USERS.c.id).where(which).order_by(USERS.c.name)
    return [Member(user=_as_user(row), role=row["role"], since=row["since"]) for row in connection.execute(query).mappings()]


def _user(connection: sa.Connection, name: str) -> User:
    query = sa.select(USERS).where(USERS.c.name == name.strip().lower(), USERS.c.disabled_at.is_(None))
    row = connection.execute(query).mappings().first()
    if row is None:
        raise UnknownError(f"there is no user {name[:80]!r}")
    return User(**row)


def _as_user(row: Any) -> User:
    return User(**{one.name: row[one.name] for one in attrs.fields(User)})


def _organisation(row: Any) -> Organisation:
    return Organisation(**{one.name: row[one.name] for one in attrs.fields(Organisation)})


def _title(title: str, name: str) -> str:
    checked = " ".join(title.split()) or name
    if len(checked) > 200:
        raise ConfigError([Problem("title", "is longer than 200 characters")])
    return checked
