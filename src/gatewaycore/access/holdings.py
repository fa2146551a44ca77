"""Holdings: packages and collections, those of the configuration file and those that were made in the console; and who may see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.database import Database
from gatewaycore.access.groups import Groups
from gatewaycore.access.reach import check_key, check_reach, formers
from gatewaycore.access.records import Holding, Kind, Member, Principal
from gatewaycore.access.roles import Role, Scope, greatest
from gatewaycore.access.secrets import hidden, restored
from gatewaycore.access.standing import require, role_for
from gatewaycore.access.tables import COUNTERS, GRANTS, HOLDINGS, MEMBERS
from gatewaycore.access.trail import new_id, note
from gatewaycore.errors import AccessError, ConflictError, UnknownError

Check: TypeAlias = Callable[[list[tuple[Kind, Mapping[str, Any]]]], None]
"""Finds out whether definitions can be used together with the configuration file; raises a `ConfigError` that names what is wrong."""

_RULES = "rules"


@attrs.frozen
class Seen:
    """A package that somebody may see.

    Attributes:
        holding: what is known of it.
        role: what they may do with it; None when they see it because it is public.
    """

    holding: Holding
    role: Role | None


class Holdings:
    """Packages and collections.

    Args:
        database: where they are.
        groups: know who has which role.
        clock: says what time it is, UTC.
    """

    def __init__(self, database: Database, groups: Groups, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._groups = groups
        self._clock = clock

    # --- those of the configuration file ---------------------------------------------------------------------------------

    def adopt(self, found: Iterable[tuple[Kind, str]]) -> None:
        """Take note of what the configuration file has: it belongs to the home organisation, is private, and stays known when it has gone,
        because its numbers stay.

        Args:
            found: kind and key of each.
        """
        home, at = self._groups.home(), self._clock()
        with self._database.writing() as connection:
            rows = connection.execute(sa.select(HOLDINGS.c.kind, HOLDINGS.c.key))
            known = {(kind, key) for kind, key in rows}
            new = [
                {
                    "id": new_id(at),
                    "organisation_id": home.id,
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

    # --- those that were made in the console -----------------------------------------------------------------------------

    def create(
        self,
        kind: Kind,
        key: str,
        organisation: str,
        definition: Mapping[str, Any],
        check: Check,
        by: Principal,
        is_counted: Callable[[str], bool] = lambda _: False,
    ) -> Holding:
        """Make a package or a collection, which is served from then on.

        Args:
            kind: which of the two.
            key: what events will call it.
            organisation: by name; whose it is.
            definition: as an entry of a configuration file.
            check: sees it together with all others.
            by: an admin of the organisation.
            is_counted: tells whether there are events of a key already, whosever they are.

        Raises:
            ConfigError: it cannot be used.
            UnknownError, AccessError: `by` may not.
            ConflictError: there is one of that key, or its numbers would be another organisation's.
        """
        at = self._clock()
        # Asked before anything is held: a store takes its time.
        counted = kind == "package" and not by.runs_the_gateway and is_counted(key)
        with self._database.writing() as connection:
            count_up(connection)
            found = self._groups.held(connection, organisation, by, "write")
            check_reach(connection, definition, found.id, by)
            if kind == "package" and not by.runs_the_gateway:
                check_key(connection, key, found, counted)
            check([*self._definitions(connection), (kind, definition)])
            made = Holding(
                id=new_id(at),
                kind=kind,
                key=key,
                organisation_id=found.id,
                definition=dict(definition),
                is_public=False,
                version=1,
                created_at=at,
                updated_at=at,
            )
            try:
                connection.execute(HOLDINGS.insert().values(attrs.asdict(made)))
            except IntegrityError:
                raise ConflictError(f"there is a {kind} {key[:80]!r} already") from None
            note(connection, by, f"{kind}.create", key, found.id, {"definition": hidden(definition)})
        return made

    def change(
        self, kind: Kind, key: str, definition: Mapping[str, Any], check: Check, by: Principal, version: int | None = None
    ) -> Holding:
        """Define a package or a collection anew.

        Args:
            kind, key: which.
            definition: as an entry of a configuration file; a password that is `HIDDEN` is the one that is there.
            check: sees it together with all others.
            by: an admin of its own or of its organisation.
            version: the one that `by` has seen; None for whichever.

        Raises:
            ConfigError: it cannot be used.
            UnknownError, AccessError: `by` may not.
            ConflictError: it stands in the configuration file, or somebody else has changed it.
        """
        with self._database.writing() as connection:
            count_up(connection)
            now, _ = self._held(connection, kind, key, by, "write")
            if now.definition is None:
                raise ConflictError(f"this {kind} stands in the configuration file, and is changed there")
            if version is not None and version != now.version:
                raise ConflictError(f"somebody has changed this {kind} meanwhile: it is version {now.version} now")
            definition = restored(definition, now.definition)
            check_reach(connection, definition, now.organisation_id, by)
            others = [(one, made) for one, made, name in self._defined(connection) if (one, name) != (kind, key)]
            check([*others, (kind, definition)])
            made = attrs.evolve(now, definition=dict(definition), version=now.version + 1, updated_at=self._clock())
            values = {"definition": made.definition, "version": made.version, "updated_at": made.updated_at}
            connection.execute(HOLDINGS.update().where(HOLDINGS.c.id == now.id).values(values))
            note(
                connection,
                by,
                f"{kind}.change",
                key,
                now.organisation_id,
                {"definition": hidden(definition), "before": hidden(now.definition)},
            )
        return made

    def delete(self, kind: Kind, key: str, by: Principal) -> None:
        """Serve a package or a collection no more. What was counted stays in the lake.

        Raises:
            UnknownError, AccessError: `by` may not.
            ConflictError: it stands in the configuration file.
        """
        with self._database.writing() as connection:
            count_up(connection)
            now, _ = self._held(connection, kind, key, by, "write")
            if now.definition is None:
                raise ConflictError(f"this {kind} stands in the configuration file, and is deleted there")
            connection.execute(HOLDINGS.delete().where(HOLDINGS.c.id == now.id))
            note(connection, by, f"{kind}.delete", key, now.organisation_id, {"before": hidden(now.definition)})

    def definitions(self) -> tuple[int, list[tuple[Kind, Mapping[str, Any]]]]:
        """Return everything that was made in the console and is to be served, with a number that grows with every change."""
        with self._database.reading() as connection:
            return self.rules_version(connection), self._definitions(connection)

    def rules_version(self, connection: sa.Connection | None = None) -> int:
        """Return the number that grows with every change of a definition: whoever serves looks at it now and then."""
        if connection is None:
            with self._database.reading() as opened:
                return self.rules_version(opened)
        return connection.execute(sa.select(COUNTERS.c.value).where(COUNTERS.c.name == _RULES)).scalar() or 0

    def _definitions(self, connection: sa.Connection) -> list[tuple[Kind, Mapping[str, Any]]]:
        return [(kind, definition) for kind, definition, _ in self._defined(connection)]

    def _defined(self, connection: sa.Connection) -> list[tuple[Kind, Mapping[str, Any], str]]:
        query = sa.select(HOLDINGS.c.kind, HOLDINGS.c.definition, HOLDINGS.c.key).where(HOLDINGS.c.definition.is_not(None))
        return [(kind, definition, key) for kind, definition, key in connection.execute(query.order_by(HOLDINGS.c.id))]

    # --- who may see and do what -----------------------------------------------------------------------------------------

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
        return [Seen(_holding(row), greatest([operator, row["of_organisation"], row["of_package"]])) for row in rows]

    def numbers_seen_by(self, by: Principal, pulled: Iterable[str] = ()) -> tuple[str, ...] | None:
        """Return the keys of the packages whose numbers somebody may see; None when they may see those of all, whatever it is called.

        Args:
            by: who.
            pulled: keys of images that collections have admitted: those of them that are nobody's belong to the home organisation.

        Raises:
            UnknownError: there is none.
            AccessError: their token is not for that.
        """
        require(by, "member", "read", "package")
        if by.runs_the_gateway:
            return None
        found, home = {one.holding.key for one in self.seen_by(by)}, self._groups.home()
        with self._database.reading() as connection:
            if role_for(connection, by, home.id, None) is not None:
                known = set(connection.execute(sa.select(HOLDINGS.c.key).where(HOLDINGS.c.kind == "package")).scalars())
                former = formers(connection)
                found |= {key for key in pulled if key not in known and former.get(key, home.id) == home.id}
        if not found:
            raise UnknownError("there is no package that you may see")
        return tuple(sorted(found))

    def look(self, key: str, by: Principal | None, kind: Kind = "package") -> Seen:
        """Return a package as somebody sees it.

        Args:
            key: what events call it. One that is not known (an image that a collection admits) belongs to the home organisation, but for
                one that was another organisation's before it was deleted.
            by: None for somebody who has not signed in, and sees what is public.
            kind: which of the two.

        Raises:
            UnknownError: it is not there, or they may not see it.
            AccessError: their token is not for that.
        """
        with self._database.reading() as connection:
            holding = self._find(connection, kind, key)
            if holding is None and kind == "package" and by is not None:
                holding = self._of_home(connection, key, by)
            role = None
            if holding is not None and by is not None:
                role = role_for(connection, by, holding.organisation_id, holding.id or None)
        if holding is None or (role is None and not holding.is_public):
            raise UnknownError(f"there is no {kind} {key[:80]!r} that you may see")
        if by is not None and not by.holds("read"):
            raise AccessError("this takes a token with the scope read")
        return Seen(holding, role)

    def share(self, key: str, is_public: bool, by: Principal) -> Holding:
        """Let everybody see the numbers of a package, or no more.

        Raises:
            UnknownError, AccessError: `by` may not.
        """
        with self._database.writing() as connection:
            now, _ = self._held(connection, "package", key, by, "write")
            if now.is_public == is_public:
                return now
            made = attrs.evolve(now, is_public=is_public, version=now.version + 1, updated_at=self._clock())
            values = {"is_public": is_public, "version": made.version, "updated_at": made.updated_at}
            connection.execute(HOLDINGS.update().where(HOLDINGS.c.id == now.id).values(values))
            note(connection, by, "package.share" if is_public else "package.unshare", key, now.organisation_id)
        return made

    def move(self, key: str, organisation: str, by: Principal, kind: Kind = "package") -> Holding:
        """Give a package to another organisation: its owners may, who may make packages there too.

        Raises:
            UnknownError, AccessError: `by` may not.
        """
        with self._database.writing() as connection:
            now, role = self._held(connection, kind, key, by, "admin")
            require(by, role, "admin", kind, "owner")
            to = self._groups.held(connection, organisation, by, "write")
            made = attrs.evolve(now, organisation_id=to.id, version=now.version + 1, updated_at=self._clock())
            values = {"organisation_id": to.id, "version": made.version, "updated_at": made.updated_at}
            connection.execute(HOLDINGS.update().where(HOLDINGS.c.id == now.id).values(values))
            note(connection, by, f"{kind}.move", key, to.id, {"from": now.organisation_id})
        return made

    def members(self, key: str, by: Principal) -> list[Member]:
        """Return who has a role for a package alone.

        Raises:
            UnknownError, AccessError: `by` may not see it.
        """
        with self._database.reading() as connection:
            now, _ = self._held(connection, "package", key, by, "read")
            return self._groups.granted(connection, now.id)

    def set_role(self, key: str, user_name: str, role: Role, by: Principal) -> Member:
        """Give somebody a role for a package alone; as `Groups.set_role`."""
        with self._database.writing() as connection:
            now, actor = self._held(connection, "package", key, by, "admin")
            return self._groups.grant(connection, now.id, user_name, role, by, actor, key, now.organisation_id)

    def remove(self, key: str, user_name: str, by: Principal) -> None:
        """Take somebody's role for a package away; as `Groups.remove`."""
        with self._database.writing() as connection:
            now = self._known(connection, "package", key)
            actor = role_for(connection, by, now.organisation_id, now.id)
            self._groups.revoke(connection, now.id, user_name, by, actor, key, now.organisation_id)

    def _held(self, connection: sa.Connection, kind: Kind, key: str, by: Principal, scope: Scope) -> tuple[Holding, Role | None]:
        now = self._known(connection, kind, key)
        role = role_for(connection, by, now.organisation_id, now.id)
        require(by, role, scope, kind)
        return now, role

    def _known(self, connection: sa.Connection, kind: Kind, key: str) -> Holding:
        now = self._find(connection, kind, key)
        if now is None:
            # In the words of `require`: what is not there and what is not theirs are told apart by nobody.
            raise UnknownError(f"there is no {kind} that you may see")
        return now

    def _find(self, connection: sa.Connection, kind: Kind, key: str) -> Holding | None:
        row = connection.execute(sa.select(HOLDINGS).where(HOLDINGS.c.kind == kind, HOLDINGS.c.key == key)).mappings().first()
        return None if row is None else _holding(row)

    def _of_home(self, connection: sa.Connection, key: str, by: Principal) -> Holding | None:
        """Return what nobody has made, as the home organisation's; None where it was another one's, and those who ask run no gateway."""
        home = self._groups.home()
        if formers(connection, [key]).get(key, home.id) != home.id and not by.runs_the_gateway:
            return None
        return Holding(
            id="",
            kind="package",
            key=key,
            organisation_id=home.id,
            definition=None,
            is_public=False,
            version=0,
            created_at=home.created_at,
            updated_at=home.created_at,
        )


def _holding(row: Any) -> Holding:
    return Holding(**{one.name: row[one.name] for one in attrs.fields(Holding)})


def count_up(connection: sa.Connection) -> None:
    """Say that definitions have changed, or whose domains are. Whoever does so first waits for those who are at it: two changes that are
    checked beside each other, and not one after the other, could be served each by itself and not together."""
    counted = COUNTERS.update().where(COUNTERS.c.name == _RULES).values(value=COUNTERS.c.value + 1)
    if not connection.execute(counted).rowcount:
        connection.execute(COUNTERS.insert().values(name=_RULES, value=1))
