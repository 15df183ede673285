"""Finds the jobs that earlier requests have made with the same idempotency keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, tuple_

from offload_shared.job import NewJob
from offload_shared.store.schema import job


def earlier(connection: Connection, jobs: Sequence[NewJob]) -> Mapping[tuple[str, str | None], Any]:
    """Return the stored jobs that have the keys of these, by tenant and key: each with `id` and `fingerprint`.

    In one statement: after an outage everybody repeats at once.
    """
    keys = [(new.tenant, new.idempotency_key) for new in jobs if new.idempotency_key is not None]
    if not keys:
        return {}
    same_key = tuple_(job.c.tenant, job.c.idempotency_key).in_(keys)
    rows = connection.execute(select(job.c.tenant, job.c.idempotency_key, job.c.id, job.c.fingerprint).where(same_key))
    return {(row.tenant, row.idempotency_key): row for row in rows}


def repeated(connection: Connection, jobs: Sequence[NewJob]) -> set[str]:
    """Return the ids of those of these that add nothing: their key has made a job, or another of them comes first."""
    used = set(earlier(connection, jobs))
    found = set()
    for new in jobs:
        key = (new.tenant, new.idempotency_key)
        if key in used:
            found.add(new.id)
        elif new.idempotency_key is not None:
            used.add(key)
    return found
