"""Answers: what a request with an idempotency key was answered, so that it is done once however often it comes.

See draft-ietf-httpapi-idempotency-key-header. A key is one token's; the same key with another request is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from attrs import frozen
from sqlalchemy.exc import IntegrityError

from gatewaycore.access.database import Database
from gatewaycore.access.tables import ANSWERS
from gatewaycore.errors import ConflictError

KEPT_S = 24 * 3600
# What has begun for so long and not ended was cut off.
_BEGUN_S = 300


@frozen
class Given:
    """An answer that was given before."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answers:
    """Remembers answers for a day.

    Args:
        database: where they are.
        clock: says what time it is, UTC.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def begin(self, owner: str, key: str, request: bytes) -> Given | None:
        """Begin to answer.

        Args:
            owner: whose key it is: a token's id.
            key: as the client has sent it.
            request: method, target and body.

        Returns:
            what was answered before; None when it is to be done now, which `end` then says, or `forget`.

        Raises:
            ConflictError: it is being answered, or the key was used for another request.
        """
        at, name, told = self._clock(), _name(owner, key), sha256(request).hexdigest()
        with self._database.writing() as connection:
            connection.execute(ANSWERS.delete().where(ANSWERS.c.at < at - timedelta(seconds=KEPT_S)))
            broken_off = sa.and_(ANSWERS.c.status.is_(None), ANSWERS.c.at < at - timedelta(seconds=_BEGUN_S))
            connection.execute(ANSWERS.delete().where(ANSWERS.c.key == name, broken_off))
            row = connection.execute(sa.select(ANSWERS).where(ANSWERS.c.key == name)).mappings().first()
            if row is None:
                try:
                    connection.execute(ANSWERS.insert().values(key=name, request=told, at=at))
                except IntegrityError:
                    raise ConflictError("a request with this idempotency key is being answered") from None
                return None
        if row["request"] != told:
            raise ConflictError("this idempotency key was used for another request")
        if row["status"] is None:
            raise ConflictError("a request with this idempotency key is being answered")
        return Given(row["status"], row["headers"] or {}, row["body"] or b"")

    def end(self, owner: str, key: str, given: Given) -> None:
        """Remember an answer."""
        values = {"status": given.status, "headers": dict(given.headers), "body": given.body}
        with self._database.writing() as connection:
            connection.execute(ANSWERS.update().where(ANSWERS.c.key == _name(owner, key)).values(values))

    def forget(self, owner: str, key: str) -> None:
        """Let it be tried again: it has failed."""
        with self._database.writing() as connection:
            connection.execute(ANSWERS.delete().where(ANSWERS.c.key == _name(owner, key)))


def _name(owner: str, key: str) -> str:
    return sha256(f"{owner}\n{key}".encode()).hexdigest()
