"""Holdings: packages and collections, those of the configuration file and those that were made in the console, and their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.bounds import check_room
from gatewaycore.access.database import Database
from gatewaycore.access.definitions import Check, adopt, count_up, defined, note_served, rules_version
from gatewaycore.access.groups import Groups
from gatewaycore.access.owning import Owners, find
from gatewaycore.access.reach import check_domain, check_key, check_pattern, check_reach
from gatewaycore.access.records import Holding, Kind, Member, Principal
from gatewaycore.access.roles import Role, Scope
from gatewaycore.access.secrets import hidden, restored
from gatewaycore.access.sight import Sight
from gatewaycore.access.standing import require, role_for
from gatewaycore.access.tables import HOLDINGS
from gatewaycore.access.trail import new_id, note
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.errors import ConflictError


class Holdings(Sight):
    """Packages and collections, and whatever is changed of them.

    Args:
        database: where they are.
        groups: know who has which role.
        clock: says what time it is, UTC.
        limits: how many there may be.
    """

    def __init__(
        self, database: Database, groups: Groups, clock: Callable[[], datetime], limits: ConsoleLimits = DEFAULT_CONSOLE_LIMITS
    ) -> None:
        super().__init__(database, groups)
        self._clock = clock
        self._limits = limits

    # --- those of the configuration file ---------------------------------------------------------------------------------

    def adopt(self, found: Iterable[tuple[Kind, str]]) -> None:
        """Take note of what the configuration file has: it belongs to the home organisation, is private, and stays known when it has gone,
        because its numbers stay.

        Args:
            found: kind and key of each.
        """
        home, at = self._groups.home(), self._clock()
        with self._database.writing() as connection:
            adopt(connection, found, home.id, at)

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
        counted_keys: Callable[[], Iterable[str]] = tuple,
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
            counted_keys: tells all keys of which there are events: a collection might admit one of them.

        Raises:
            ConfigError: it cannot be used.
            UnknownError, AccessError: `by` may not.
            ConflictError: there is one of that key, its numbers would be another organisation's, or there are as many as may be.
        """
        at = self._clock()
        # Asked before anything is held: a store takes its time.
        counted = [] if by.runs_the_gateway else [key] if kind == "package" and is_counted(key) else []
        if kind == "collection" and not by.runs_the_gateway:
            counted = list(counted_keys())
        with self._database.writing() as connection:
            count_up(connection)
            found = self._groups.held(connection, organisation, by, "write")
            self._check_room(connection, kind, found.id, by)
            check_reach(connection, definition, found.id, by)
            if not by.runs_the_gateway:
                (check_key if kind == "package" else check_pattern)(connection, key, found, counted)
            check([*_plain(defined(connection)), (kind, definition)])
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
            others = [(one, made) for one, made, name in defined(connection) if (one, name) != (kind, key)]
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

    def delete(self, kind: Kind, key: str, by: Principal, check: Check = lambda _: None) -> None:
        """Serve a package or a collection no more. What was counted stays in the lake.

        Args:
            kind, key: which.
            by: an admin of its own or of its organisation.
            check: sees what remains.

        Raises:
            ConfigError: what remains could not be served without it.
            UnknownError, AccessError: `by` may not.
            ConflictError: it stands in the configuration file.
        """
        with self._database.writing() as connection:
            count_up(connection)
            now, _ = self._held(connection, kind, key, by, "write")
            if now.definition is None:
                raise ConflictError(f"this {kind} stands in the configuration file, and is deleted there")
            check([(one, made) for one, made, name in defined(connection) if (one, name) != (kind, key)])
            connection.execute(HOLDINGS.delete().where(HOLDINGS.c.id == now.id))
            note(connection, by, f"{kind}.delete", key, now.organisation_id, {"before": hidden(now.definition)})

    def definitions(self) -> tuple[int, list[tuple[Kind, Mapping[str, Any]]]]:
        """Return everything that was made in the console and is to be served, with a number that grows with every change."""
        with self._database.reading() as connection:
            return rules_version(connection), _plain(defined(connection))

    def rules_version(self) -> int:
        """Return the number that grows with every change of a definition: whoever serves looks at it now and then."""
        with self._database.reading() as connection:
            return rules_version(connection)

    def note_served(self, left_out: Mapping[tuple[Kind, str], str]) -> None:
        """Write down which definitions cannot be served, and which can again.

        Args:
            left_out: why, by kind and key; of all others nothing is wrong.
        """
        with self._database.writing() as connection:
            note_served(connection, left_out)

    def _check_room(self, connection: sa.Connection, kind: Kind, organisation_id: str, by: Principal) -> None:
        made = sa.and_(HOLDINGS.c.kind == kind, HOLDINGS.c.organisation_id == organisation_id, HOLDINGS.c.definition.is_not(None))
        most = self._limits.packages if kind == "package" else self._limits.collections
        check_room(connection, made, most, f"{kind}s", by)

    # --- whose they are, and who may see them ------------------------------------------------------------------------------

    def share(self, key: str, is_public: bool, by: Principal) -> Holding:
        """Let everybody see the numbers of a package, or no more.

        Raises:
            UnknownError, AccessError: `by` may not.
        """
        with self._database.writing() as connection:
            now, _ = self._rooted(connection, key, by, "write")
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
            UnknownError, AccessError: `by` may not, or it is on a domain that the other organisation has not proved to be its own.
            ConflictError: there are as many as may be.
        """
        with self._database.writing() as connection:
            now, role = self._held(connection, kind, key, by, "admin")
            require(by, role, "admin", kind, "owner")
            to = self._groups.held(connection, organisation, by, "write")
            if now.definition is not None and to.id != now.organisation_id:
                self._check_room(connection, kind, to.id, by)
                check_domain(connection, now.definition, to.id, by)
            made = attrs.evolve(now, organisation_id=to.id, version=now.version + 1, updated_at=self._clock())
            values = {"organisation_id": to.id, "version": made.version, "updated_at": made.updated_at}
            connection.execute(HOLDINGS.update().where(HOLDINGS.c.id == now.id).values(values))
            note(connection, by, f"{kind}.move", key, to.id, {"from": now.organisation_id})
        return made

    def set_role(self, key: str, user_name: str, role: Role, by: Principal) -> Member:
        """Give somebody a role for a package alone; as `Groups.set_role`."""
        with self._database.writing() as connection:
            now, actor = self._rooted(connection, key, by, "admin")
            return self._groups.grant(connection, now.id, user_name, role, by, actor, key, now.organisation_id)

    def remove(self, key: str, user_name: str, by: Principal) -> None:
        """Take somebody's role for a package away; as `Groups.remove`."""
        with self._database.writing() as connection:
            now = self._known(connection, "package", key)
            actor = role_for(connection, by, now.organisation_id, now.id)
            self._groups.revoke(connection, now.id, user_name, by, actor, key, now.organisation_id)

    def _rooted(self, connection: sa.Connection, key: str, by: Principal, scope: Scope) -> tuple[Holding, Role | None]:
        """Return a package as `_held` does; an image that a collection admits becomes one that is known."""
        if find(connection, "package", key) is None:
            owner = Owners(connection, [key]).image_of(key)
            if owner is not None and role_for(connection, by, owner, None) is not None:
                require(by, role_for(connection, by, owner, None), scope, "package")
                adopt(connection, [("package", key)], owner, self._clock())
        return self._held(connection, "package", key, by, scope)


def _plain(made: Iterable[tuple[Kind, Mapping[str, Any], str]]) -> list[tuple[Kind, Mapping[str, Any]]]:
    return [(kind, definition) for kind, definition, _ in made]
