"""Recurring schedules, and which schedule has added a job."""

import sqlalchemy as sa
from alembic import op

from offload_shared.store.clock import UtcDateTime

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column, its index and the table."""
    op.add_column("job", sa.Column("schedule_id", sa.String(length=32), nullable=True))
    recurring = sa.text("schedule_id IS NOT NULL")
    op.create_index(
        "ix_job_schedule_id",
        "job",
        ["tenant", "schedule_id", "id"],
        postgresql_where=recurring,
        sqlite_where=recurring,
    )
    op.create_table(
        "schedule",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("cron", sa.String(length=100), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("missed", sa.String(length=16), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("next_run_at", UtcDateTime(), nullable=True),
        sa.Column("last_run_at", UtcDateTime(), nullable=True),
        sa.Column("last_job_id", sa.String(length=32), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("missed IN ('skip', 'run_once')", name=op.f("ck_schedule_missed")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
    )
    op.create_index("ix_schedule_due", "schedule", ["paused", "next_run_at"])
    op.create_index("ix_schedule_tenant_id", "schedule", ["tenant", "id"])
    op.create_index(
        "uq_schedule_idempotency_key",
        "schedule",
        ["tenant", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
