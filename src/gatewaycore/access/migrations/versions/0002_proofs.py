"""What proves a domain, what was seen of its records, and when they are due; one organisation alone holds a domain"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gatewaycore.access.tables import Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HELD = sa.text("state IN ('verified', 'failing')")


def upgrade() -> None:
    op.add_column("domains", sa.Column("proof", sa.String(length=16), nullable=False, server_default="records"))
    op.add_column("domains", sa.Column("seen", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("domains", sa.Column("next_at", Utc(), nullable=True))
    op.add_column("domains", sa.Column("failing_since", Utc(), nullable=True))
    op.create_index("ix_domains_next_at", "domains", ["next_at"], unique=False)
    op.create_index("ix_domains_held", "domains", ["name"], unique=True, sqlite_where=_HELD, postgresql_where=_HELD)


def downgrade() -> None:
    op.drop_index("ix_domains_held", table_name="domains")
    op.drop_index("ix_domains_next_at", table_name="domains")
    for name in ("failing_since", "next_at", "seen", "proof"):
        op.drop_column("domains", name)
