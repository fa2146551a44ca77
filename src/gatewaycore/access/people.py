"""People: users, their tokens, and the sessions that begin with one. Of secrets, only hashes are kept."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.database import Database
from gatewaycore.access.records import Principal, Session, Token, User
from gatewaycore.access.roles import SCOPES, Scope
from gatewaycore.access.standing import require_operator
from gatewaycore.access.tables import SESSIONS, TOKENS, USERS
from gatewaycore.access.trail import new_id, note
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS, ConsoleLimits
from gatewaycore.errors import AccessError, ConfigError, ConflictError, Problem, UnknownError
from gatewaycore.rules.access import hash_token

PREFIX: Final = "gwc_"
"""What every token begins with, so that those who look for secrets in repositories find it."""

SESSION_S: Final = 12 * 3600
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_HINT = 4
_LONGEST = 100
_MOST_SESSIONS = 50


def check_name(name: str, where: str) -> str:
    """Return a name of a user or an organisation, in lower case.

    Raises:
        ConfigError: it is none.
    """
    lowered = name.strip().lower()
    if not _NAME.fullmatch(lowered):
        hint = "1 to 64 of a to z, 0 to 9, '.', '_' and '-', the first and the last a letter or a digit"
        raise ConfigError([Problem(where, f"{name[:80]!r} is no name", hint)])
    return lowered


class People:
    """Users, tokens and sessions.

    Args:
        database: where they are.
        clock: says what time it is, UTC.
        limits: how many tokens there may be.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], limits: ConsoleLimits = DEFAULT_CONSOLE_LIMITS) -> None:
        self._database = database
        self._clock = clock
        self._limits = limits

    # --- users ---------------------------------------------------------------------------------------------------------

    def create_user(self, name: str, *, is_operator: bool = False, by: Principal | None = None) -> User:
        """Make a user, who can do nothing yet.

        Args:
            name: as `check_name` has it.
            is_operator: whether they run the gateway.
            by: an operator; None for the gateway's own commands.

        Raises:
            ConfigError: it is no name.
            ConflictError: it is taken.
            AccessError: `by` may not.
        """
        if by is not None:
            require_operator(by)
        at = self._clock()
        user = User(id=new_id(at), name=check_name(name, "name"), is_operator=is_operator, created_at=at, disabled_at=None)
        with self._database.writing() as connection:
            try:
                connection.execute(USERS.insert().values(attrs.asdict(user)))
            except IntegrityError:
                raise ConflictError(f"there is a user {user.name!r} already") from None
            note(connection, by, "user.create", user.name, details={"operator": is_operator})
        return user

    def find_user(self, name: str) -> User | None:
        """Return a user by name; None when there is none."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(USERS).where(USERS.c.name == name.strip().lower())).mappings().first()
        return None if row is None else User(**row)

    def users(self, by: Principal) -> list[User]:
        """Return all users, by name.

        Raises:
            AccessError: `by` is no operator.
        """
        require_operator(by, "read")
        with self._database.reading() as connection:
            return [User(**row) for row in connection.execute(sa.select(USERS).order_by(USERS.c.name)).mappings()]

    def is_empty(self) -> bool:
        """Tell whether there is nobody yet."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(USERS.c.id).limit(1)).first() is None

    def disable_user(self, name: str, by: Principal) -> User:
        """Let somebody in no more: sessions end and tokens are taken back. What they did stays written down.

        Raises:
            AccessError: `by` is no operator.
            UnknownError: there is no such user.
            ConflictError: nobody would be left to run the gateway.
        """
        require_operator(by)
        at = self._clock()
        with self._database.writing() as connection:
            row = connection.execute(sa.select(USERS).where(USERS.c.name == name.strip().lower())).mappings().first()
            if row is None:
                raise UnknownError(f"there is no user {name[:80]!r}")
            user = User(**row)
            others = sa.select(USERS.c.id).where(USERS.c.is_operator, USERS.c.disabled_at.is_(None), USERS.c.id != user.id)
            # Held: two operators who let each other in no more would leave nobody.
            if user.is_operator and connection.execute(others.with_for_update()).first() is None:
                raise ConflictError(f"{user.name} is the last operator")
            connection.execute(USERS.update().where(USERS.c.id == user.id).values(disabled_at=at))
            mine = TOKENS.c.user_id == user.id
            connection.execute(SESSIONS.delete().where(SESSIONS.c.token_id.in_(sa.select(TOKENS.c.id).where(mine))))
            connection.execute(TOKENS.update().where(mine, TOKENS.c.revoked_at.is_(None)).values(revoked_at=at))
            note(connection, by, "user.disable", user.name)
        return attrs.evolve(user, disabled_at=at)

    # --- tokens --------------------------------------------------------------------------------------------------------

    def create_token(
        self,
        user: User,
        name: str,
        scopes: Sequence[Scope],
        expires_at: datetime | None = None,
        organisation_id: str | None = None,
        by: Principal | None = None,
    ) -> tuple[Token, str]:
        """Make a token. Its secret is returned here, and never again.

        Args:
            user: whose it is.
            name: what it is for.
            scopes: at least one.
            expires_at: None for never.
            organisation_id: it reaches this organisation alone.
            by: the user themselves, with a token for that, or an operator, where it is their first; None for the gateway's own commands.

        Returns:
            the token, and its secret.

        Raises:
            ConfigError: a name or scope is missing or is none, or it would be over already.
            AccessError: `by` is somebody else, or their token is not for that.
            ConflictError: they have as many as may be.
        """
        at = self._clock()
        self._check_token(name, scopes, expires_at, at)
        secret = PREFIX + secrets.token_urlsafe(32)
        token = Token(
            id=new_id(at),
            user_id=user.id,
            name=name.strip(),
            hint=secret[-_HINT:],
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            organisation_id=organisation_id,
            created_at=at,
            expires_at=expires_at,
            used_on=None,
            revoked_at=None,
        )
        mine = sa.and_(TOKENS.c.user_id == user.id, TOKENS.c.revoked_at.is_(None))
        with self._database.writing() as connection:
            if by is not None:
                has_none = connection.execute(sa.select(TOKENS.c.id).where(TOKENS.c.user_id == user.id).limit(1)).first() is None
                _check_maker(by, user, organisation_id, is_first=has_none)
            if (connection.execute(sa.select(sa.func.count()).select_from(TOKENS).where(mine)).scalar() or 0) >= self._limits.tokens:
                raise ConflictError(f"{user.name} has {self._limits.tokens} tokens: revoke those that are of no use any more")
            connection.execute(
                TOKENS.insert().values({**attrs.asdict(token), "scopes": " ".join(token.scopes), "hash": hash_token(secret)})
            )
            note(connection, by, "token.create", token.name, organisation_id, {"user": user.name, "scopes": list(token.scopes)})
        return token, secret

    def _check_token(self, name: str, scopes: Sequence[str], expires_at: datetime | None, now: datetime) -> None:
        problems = []
        if not 0 < len(name.strip()) <= 200:
            problems.append(Problem("name", "is missing, or longer than 200 characters", "say what the token is for"))
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            what = f"{unknown[0][:80]!r} is no scope" if unknown else "there is none"
            problems.append(Problem("scopes", what, ", ".join(SCOPES)))
        if expires_at is not None and expires_at <= now:
            problems.append(Problem("expires_at", "is over already"))
        if problems:
            raise ConfigError(problems)

    def tokens(self, user: User, by: Principal | None = None) -> list[Token]:
        """Return somebody's tokens that have not been revoked, the newest first.

        Args:
            user: whose.
            by: the user themselves: a token that is not for tokens is told of itself alone, and one of one organisation of those that
                reach it alone too; None for the gateway's own commands.
        """
        query = sa.select(TOKENS).where(TOKENS.c.user_id == user.id, TOKENS.c.revoked_at.is_(None)).order_by(TOKENS.c.id.desc())
        if by is not None:
            query = query.where(_told_of(by))
        with self._database.reading() as connection:
            return [_token(row) for row in connection.execute(query).mappings()]

    def revoke_token(self, token_id: str, by: Principal) -> None:
        """Take a token back, and end the sessions that began with it.

        Raises:
            UnknownError: `by` has no such token, and is no operator.
            AccessError: their own token is not for that.
        """
        with self._database.writing() as connection:
            row = connection.execute(sa.select(TOKENS).where(TOKENS.c.id == token_id, TOKENS.c.revoked_at.is_(None))).mappings().first()
            if row is None or (row["user_id"] != by.user.id and not by.runs_the_gateway):
                raise UnknownError("there is no such token")
            if token_id != by.token_id and by.organisation_id not in (None, row["organisation_id"]):
                raise UnknownError("there is no such token")
            # Whoever has found a token may take that very one out of the world.
            if token_id != by.token_id and not by.holds("admin"):
                raise AccessError("this takes a token with the scope admin")
            self._revoke(connection, row, by)

    def withdraw_token(self, token_id: str) -> None:
        """Take a token back: for the gateway's own commands.

        Raises:
            UnknownError: there is no such token.
        """
        with self._database.writing() as connection:
            row = connection.execute(sa.select(TOKENS).where(TOKENS.c.id == token_id, TOKENS.c.revoked_at.is_(None))).mappings().first()
            if row is None:
                raise UnknownError("there is no such token")
            self._revoke(connection, row, None)

    def _revoke(self, connection: sa.Connection, row: Any, by: Principal | None) -> None:
        connection.execute(TOKENS.update().where(TOKENS.c.id == row["id"]).values(revoked_at=self._clock()))
        connection.execute(SESSIONS.delete().where(SESSIONS.c.token_id == row["id"]))
        note(connection, by, "token.revoke", row["name"], row["organisation_id"])

    def authenticate(self, secret: str) -> Principal | None:
        """Return who a token is of; None when it is none, is over, or was revoked.

        Found by its hash: how long that takes tells nothing about the secret.
        """
        if not secret.startswith(PREFIX) or len(secret) > _LONGEST:
            # Nobody is asked about what can be no token.
            return None
        now = self._clock()
        query = _PRINCIPALS.where(TOKENS.c.hash == hash_token(secret))
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None or not _is_good(row, now):
            return None
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if row["used_on"] is None or row["used_on"] < today:
            with self._database.writing() as connection:
                connection.execute(TOKENS.update().where(TOKENS.c.id == row["token_id"]).values(used_on=today))
        return _principal(row)

    # --- sessions ------------------------------------------------------------------------------------------------------

    def sign_in(self, secret: str, lifetime_s: int = SESSION_S) -> tuple[Session, str] | None:
        """Begin a session with a token.

        Returns:
            the session, and what its cookie holds; None when the token lets nobody in.
        """
        principal = self.authenticate(secret)
        if principal is None or principal.token_id is None:
            return None
        at, cookie = self._clock(), secrets.token_urlsafe(32)
        session = Session(principal=principal, csrf=secrets.token_urlsafe(32), expires_at=at + timedelta(seconds=lifetime_s))
        with self._database.writing() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.expires_at <= at))
            # However often somebody signs in: the oldest end.
            mine = SESSIONS.c.token_id == principal.token_id
            kept = sa.select(SESSIONS.c.hash).where(mine).order_by(SESSIONS.c.created_at.desc(), SESSIONS.c.hash).limit(_MOST_SESSIONS - 1)
            connection.execute(SESSIONS.delete().where(mine, SESSIONS.c.hash.not_in(kept)))
            connection.execute(
                SESSIONS.insert().values(
                    hash=hash_token(cookie), token_id=principal.token_id, csrf=session.csrf, created_at=at, expires_at=session.expires_at
                )
            )
            note(connection, principal, "session.begin", principal.user.name)
        return session, cookie

    def session(self, cookie: str) -> Session | None:
        """Return the session that a cookie is of; None when it is over."""
        now = self._clock()
        query = (
            _PRINCIPALS.add_columns(SESSIONS.c.csrf, SESSIONS.c.expires_at.label("ends_at"))
            .join(SESSIONS, SESSIONS.c.token_id == TOKENS.c.id)
            .where(SESSIONS.c.hash == hash_token(cookie))
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None or not _is_good(row, now) or row["ends_at"] <= now:
            return None
        return Session(principal=_principal(row), csrf=row["csrf"], expires_at=row["ends_at"])

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.hash == hash_token(cookie)))


_PRINCIPALS = sa.select(
    *USERS.c,
    TOKENS.c.id.label("token_id"),
    TOKENS.c.scopes,
    TOKENS.c.organisation_id,
    TOKENS.c.expires_at,
    TOKENS.c.revoked_at,
    TOKENS.c.used_on,
).join(TOKENS, TOKENS.c.user_id == USERS.c.id)
_USER = tuple(one.name for one in attrs.fields(User))


def _is_good(row: Any, now: datetime) -> bool:
    return row["revoked_at"] is None and row["disabled_at"] is None and (row["expires_at"] is None or row["expires_at"] > now)


def _principal(row: Any) -> Principal:
    return Principal(
        user=User(**{name: row[name] for name in _USER}),
        token_id=row["token_id"],
        scopes=tuple(row["scopes"].split()),
        organisation_id=row["organisation_id"],
    )


def _token(row: Any) -> Token:
    named = {one.name: row[one.name] for one in attrs.fields(Token)}
    return Token(**{**named, "scopes": tuple(row["scopes"].split())})


def _told_of(by: Principal) -> sa.ColumnElement[bool]:
    """Return which tokens somebody is told of, of those of their own."""
    itself = TOKENS.c.id == by.token_id
    if not by.holds("admin"):
        return itself
    return sa.true() if by.organisation_id is None else sa.or_(itself, TOKENS.c.organisation_id == by.organisation_id)


def _check_maker(by: Principal, user: User, organisation_id: str | None, *, is_first: bool) -> None:
    if by.user.id != user.id and is_first and by.user.is_operator:
        # Nobody could sign in otherwise.
        require_operator(by)
        return
    if by.user.id != user.id:
        raise AccessError("tokens are made by those whose they are")
    if not by.holds("admin"):
        # Else one that was found by somebody would outlive its own end.
        raise AccessError("this takes a token with the scope admin")
    if by.organisation_id not in (None, organisation_id):
        raise AccessError("a token of one organisation makes none that reaches further")
