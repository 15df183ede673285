"""Webhooks, what callbacks are signed with, and the deliveries to both; and whom a job tells of its end."""

import sqlalchemy as sa
from alembic import op

from offload_shared.store.clock import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column and create the tables."""
    op.add_column("job", sa.Column("callback_url", sa.Text(), nullable=True))
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=True),
        sa.Column("events", sa.String(length=255), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("previous_secret", sa.String(length=100), nullable=True),
        sa.Column("previous_until", UtcDateTime(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index("ix_webhook_tenant_id", "webhook", ["tenant", "id"])
    op.create_table(
        "callback_secret",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("previous_secret", sa.String(length=100), nullable=True),
        sa.Column("previous_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_callback_secret")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("webhook_id", sa.String(length=32), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_delivery_state")),
        sa.CheckConstraint("(state = 'pending') = (finished_at IS NULL)", name=op.f("ck_delivery_finished_when_final")),
        sa.CheckConstraint("(webhook_id IS NULL) = (url IS NOT NULL)", name=op.f("ck_delivery_leads_somewhere")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
    )
    pending = sa.text("state = 'pending'")
    unmade = sa.text("state = 'pending' AND payload IS NULL")
    op.create_index("ix_delivery_due_at", "delivery", ["due_at"], postgresql_where=pending, sqlite_where=pending)
    op.create_index(
        "ix_delivery_target_due_at",
        "delivery",
        ["target", "due_at"],
        postgresql_where=pending,
        sqlite_where=pending,
    )
    op.create_index("ix_delivery_unmade", "delivery", ["job_id"], postgresql_where=unmade, sqlite_where=unmade)
    op.create_index("ix_delivery_webhook_id_id", "delivery", ["tenant", "webhook_id", "id"])
    undelivered = sa.text("state = 'pending' OR state = 'failed'")
    op.create_index(
        "ix_delivery_undelivered",
        "delivery",
        ["tenant", "webhook_id", "state", "id"],
        postgresql_where=undelivered,
        sqlite_where=undelivered,
    )
    op.create_index("ix_delivery_job_id", "delivery", ["job_id"])
