"""Bounds: how many of something there may be. Those who run the gateway set them, and are not held by them."""

from __future__ import annotations

import sqlalchemy as sa

from gatewaycore.access.records import Principal
from gatewaycore.errors import ConflictError


def check_room(connection: sa.Connection, which: sa.ColumnElement[bool], most: int, what: str, by: Principal | None) -> None:
    """Refuse one more of something.

    Args:
        connection: of the database.
        which: those that there are.
        most: how many there may be.
        what: in words, which are the setting's name.
        by: who makes it; None for the gateway's own commands.

    Raises:
        ConflictError: there are as many as may be.
    """
    if by is None or by.runs_the_gateway:
        return
    if (connection.execute(sa.select(sa.func.count()).where(which)).scalar() or 0) >= most:
        raise ConflictError(
            f"there are {most:,} {what} already, and no more may be: whoever runs the gateway can raise console.limits.{what}"
        )
