"""Whose token asked for what, in the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column and its index."""
    op.add_column("audit", sa.Column("subject", sa.String(length=255), nullable=True))
    named = sa.text("subject IS NOT NULL")
    op.create_index("ix_audit_subject_id", "audit", ["subject", "id"], postgresql_where=named, sqlite_where=named)
