"""Alembic's entry: runs migrations on the connection that `offload_shared.store.migrate` hands over."""

from alembic import context

from offload_shared.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
    user_module_prefix="",
)
context.run_migrations()
