"""What Alembic runs: the revisions, over the connection that our code hands it."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
# Begun and ended by whoever hands it over: all revisions, or none.
context.configure(connection=connection, transactional_ddl=True)
context.run_migrations()
