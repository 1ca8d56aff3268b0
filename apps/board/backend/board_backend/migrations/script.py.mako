"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Only add what the previous version can ignore: both run at the same time during a rollout."""
    ${upgrades if upgrades else "pass"}
