"""Owned handovers: leases, deliveries by channel, notices, and what agents may do."""

from __future__ import annotations

from alembic import context, op

from serving.store.migrations import owned_handovers

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rebuild the tables that changed, make the new ones, and record each new lease."""
    # PostgreSQL came with this revision: whatever is there has it.
    if op.get_bind().dialect.name == "sqlite":
        owned_handovers.upgrade(op.get_bind())


def downgrade() -> None:
    """Go back to the tables of before, without what they have no place for."""
    owned_handovers.downgrade(
        op.get_bind(), loses=bool(context.config.attributes.get("loses"))
    )
