"""${message}."""

from alembic import op
import sqlalchemy as sa

from offload_shared.store.clock import UtcDateTime

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
