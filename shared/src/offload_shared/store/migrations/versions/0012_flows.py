"""Flows: jobs that follow others and take their results as input; and what workers leave to others."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

IN_FLOW = sa.text("flow_id IS NOT NULL")

REFUSED = "NEW.state = 'running' AND NEW.waits_for > 0"
SENTENCE = "a job that waits for others does not run"


def upgrade() -> None:
    """Add the columns, the tables, and a guard: what waits for others does not run."""
    op.add_column("job", sa.Column("flow_id", sa.String(length=32), nullable=True))
    op.add_column("job", sa.Column("step", sa.String(length=64), nullable=True))
    op.add_column("job", sa.Column("waits_for", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("if_failed", sa.String(length=8), nullable=True))
    columns = ["tenant", "flow_id", "id"]
    op.create_index("ix_job_flow_id", "job", columns, postgresql_where=IN_FLOW, sqlite_where=IN_FLOW)
    op.create_table(
        "dependency",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("after_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_dependency_job"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["after_id"], ["job.id"], name=op.f("fk_dependency_job_after"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "after_id", name=op.f("pk_dependency")),
    )
    op.add_column("worker", sa.Column("unknown", sa.Text(), nullable=True))
    op.create_index("ix_dependency_after_id", "dependency", ["after_id"])
    op.create_table(
        "step_end",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_step_end_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_step_end")),
    )
    if op.get_bind().dialect.name == "sqlite":
        raised = f"SELECT RAISE(ABORT, 'offload: {SENTENCE}')"
        op.execute(f"CREATE TRIGGER job_flow_guard BEFORE UPDATE ON job WHEN {REFUSED} BEGIN {raised}; END")
        return
    raised = f"RAISE EXCEPTION 'offload: {SENTENCE}' USING ERRCODE = 'check_violation'"
    op.execute(f"CREATE FUNCTION job_flow_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {raised}; END $$")
    op.execute(
        f"CREATE TRIGGER job_flow_guard BEFORE UPDATE ON job FOR EACH ROW WHEN ({REFUSED}) "
        "EXECUTE FUNCTION job_flow_guard()"
    )
