"""Tags of jobs, which job another is the retry of, and an index to list a tenant's jobs by."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, the table and the index."""
    op.add_column("job", sa.Column("tags", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("parent_id", sa.String(length=32), nullable=True))
    op.create_table(
        "tag",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_tag_job_id_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name", "job_id", name=op.f("pk_tag")),
    )
    op.create_index("ix_tag_job_id", "tag", ["job_id"])
    op.create_index("ix_job_tenant_id", "job", ["tenant", "id"])
    rare = sa.text("state IN ('failed', 'cancelled')")
    op.create_index("ix_job_rare_ends", "job", ["tenant", "state", "id"], postgresql_where=rare, sqlite_where=rare)
