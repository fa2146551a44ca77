"""Migrations of the state database: run by `gatewaycore.access.database` when it is opened."""

from __future__ import annotations

from alembic import context

from gatewaycore.access.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
