"""The state that a job's attempts have saved, for the next of them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column."""
    op.add_column("job", sa.Column("checkpoint", sa.Text(), nullable=True))
