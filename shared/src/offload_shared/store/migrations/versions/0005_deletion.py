"""How long a job is kept once it has ended, and what is known of jobs that are not there any more."""

import sqlalchemy as sa
from alembic import op

from offload_shared.store.clock import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns, their index and the table."""
    op.add_column("job", sa.Column("result_ttl_seconds", sa.Double(), nullable=True))
    op.add_column("job", sa.Column("expires_at", UtcDateTime(), nullable=True))
    known = sa.text("expires_at IS NOT NULL")
    op.create_index("ix_job_expires_at", "job", ["expires_at"], postgresql_where=known, sqlite_where=known)
    op.create_table(
        "gone",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("gone_at", UtcDateTime(), nullable=False),
        sa.Column("expired", sa.Boolean(), nullable=False),
        sa.Column("collected", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_gone")),
    )
    op.create_index("ix_gone_gone_at", "gone", ["collected", "gone_at"])
