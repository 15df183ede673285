"""The output of attempts, and a job's limit of processor time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("job", sa.Column("cpu_limit_seconds", sa.Double(), nullable=True))
    op.create_table(
        "output",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_output_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", "start", name=op.f("pk_output")),
    )
