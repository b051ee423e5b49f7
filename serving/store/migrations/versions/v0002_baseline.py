"""The baseline: stores of the releases before migrations, in SQLite alone."""

from __future__ import annotations

from serving.store.versions import WouldLoseError

revision = "0002"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Do nothing: what is upgraded is of this revision already."""


def downgrade() -> None:
    """Refuse: nothing is known of what came before."""
    msg = "version 0002 is the oldest there is: there is nothing to go back to"
    raise WouldLoseError(msg)
