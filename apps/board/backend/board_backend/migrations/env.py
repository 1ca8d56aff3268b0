"""How Alembic reaches the database: on the connection it is handed, else on the configured one."""

from __future__ import annotations

from alembic import context
from board_backend import database
from board_backend.models import Base
from board_backend.settings import Settings


def run(connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    with database.connect(Settings().database_url.get_secret_value(), statement_timeout=0).begin() as own:
        run(own)
