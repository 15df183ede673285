"""Jobs that have ended, and of whose unsuccessful attempts files may be left."""

import sqlalchemy as sa
from alembic import op

from offload_shared.store.clock import UtcDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "leftover",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("kept", sa.Integer(), nullable=True),
        sa.Column("noted_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_leftover_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_leftover")),
    )
    op.create_index("ix_leftover_noted_at", "leftover", ["noted_at"])
