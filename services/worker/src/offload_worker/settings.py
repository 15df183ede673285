"""The worker's settings."""

import os
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from offload_shared import tasks
from offload_shared.errors import SettingsInvalid
from offload_shared.settings import Seconds, SharedSettings, invalid, require_scheme
from offload_shared.tasks.task import RunsIn

#: Jobs at once of a queue that only waits: threads and coroutines are cheap, a second core is not.
IO_SLOTS = 256

SMTP_SCHEMES = ("smtp", "smtps")


class WorkerSettings(SharedSettings, frozen=True, kw_only=True):
    """What the worker needs to know beside what both services do."""

    queues: str = ""  # names joined by commas; empty: every queue
    slots: Annotated[int, Meta(ge=1, le=1000)] | None = None  # jobs at once, of each queue
    grace_seconds: Seconds = 25.0  # for running jobs, once told to end
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Meta(ge=0, le=65535)] = 0  # 0: no health server
    child_threads: Annotated[int, Meta(ge=1, le=1024)] = 1  # of BLAS and OpenMP in each child
    child_nice: Annotated[int, Meta(ge=0, le=19)] = 10  # children yield the processor to services beside them
    child_jobs: Annotated[int, Meta(ge=1)] = 100  # a child is replaced after so many
    child_growth_mb: Annotated[int, Meta(ge=1)] = 256  # and when it holds so much more memory than at its start
    memory_mb: Annotated[int, Meta(ge=64)] | None = None  # for the worker with all children; None: what there is
    pause_seconds: Seconds = 30.0  # of taking no jobs, after crashes in series
    smtp_url: str = ""  # of the server that sends e-mail; empty: none is sent
    smtp_from: str = ""  # who may send: addresses, and domains as `@example.org`, joined by commas

    def __post_init__(self) -> None:
        """Refuse a mail server that cannot be one, and one by which nobody may send."""
        super().__post_init__()
        require_scheme("smtp_url", self.smtp_url, SMTP_SCHEMES)
        if self.smtp_url and not urlsplit(self.smtp_url).hostname:
            raise invalid("smtp_url", self.smtp_url, "it names no host")
        if self.smtp_url and not self.senders:
            raise SettingsInvalid("OFFLOAD_SMTP_URL is set: set OFFLOAD_SMTP_FROM to who may send as well")
        for sender in self.senders:
            if sender.count("@") != 1 or sender.endswith("@"):
                raise invalid("smtp_from", self.smtp_from, f"{sender!r} is neither an address nor @ and a domain")

    @property
    def senders(self) -> tuple[str, ...]:
        """Who may send e-mail: addresses, and domains that begin with @."""
        return tuple(each.strip() for each in self.smtp_from.split(",") if each.strip())

    def slots_of_queues(self) -> dict[str, int]:
        """Return how many jobs at once this worker runs of each queue; raises `SettingsInvalid` for an unknown one."""
        known = tasks.queues()
        wanted = [name.strip() for name in self.queues.split(",") if name.strip()] if self.queues else known
        if not wanted:
            raise SettingsInvalid(f"OFFLOAD_QUEUES is {self.queues!r}: it names no queue; leave it out for every queue")
        for name in wanted:
            if name not in known:
                msg = f"there is no queue {name!r}; the tasks known here use: {', '.join(known)}"
                raise SettingsInvalid(msg)
        return {name: self.slots or default_slots(name) for name in wanted}


def default_slots(queue: str) -> int:
    """Return a slot for each core when a task of the queue computes, many when all of them wait."""
    computes = any(t.queue == queue and t.runs_in is RunsIn.PROCESS for t in tasks.registry().values())
    return cores() if computes else IO_SLOTS


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
