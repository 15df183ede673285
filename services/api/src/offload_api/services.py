"""What the routes work with, put together once at the start."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from offload_api.access import Identify, anybody
from offload_api.additions import Additions
from offload_api.cached import Cached
from offload_api.collecting import Collector
from offload_api.deliverer import Deliverer
from offload_api.flows import Flows
from offload_api.held import HeldBodies
from offload_api.keyring import Keyring
from offload_api.metrics import ApiMetrics, ProcessState, PublisherState
from offload_api.publisher import Publisher
from offload_api.rates import RateLimiter
from offload_api.relay import Relay
from offload_api.releasing import Releaser
from offload_api.scheduler import Scheduler
from offload_api.schedules import Schedules
from offload_api.settings import ApiSettings
from offload_api.store import Store
from offload_api.streams import Streams
from offload_api.submissions import Submissions
from offload_api.trail import Trail
from offload_api.waiting import MOST_WAITERS, JobWatch
from offload_shared.artifacts import Artifacts
from offload_shared.job import Hint, NewJob
from offload_shared.keys import ApiKey
from offload_shared.outbound import Outbound
from offload_shared.store import api_keys, audits, jobs, queues, rates
from offload_shared.store.audits import AuditRecord
from offload_shared.store.database import Database
from offload_shared.store.doorbell import Doorbell, Topic
from offload_shared.store.jobs import Added
from offload_shared.store.queues import QueueStatus
from offload_shared.store.rates import Grant
from offload_shared.store.sweeper import Sweeper
from offload_shared.tasks.task import Task

Step = Callable[[], Awaitable[None]]

#: To count what waits takes the longer the more there is, and whoever gathers metrics may be many.
QUEUES_KEPT_SECONDS = 3.0


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one API process; `publisher` and `relay` are None where workers read the store themselves."""

    settings: ApiSettings
    tasks: dict[str, Task]
    store: Store
    artifacts: Artifacts
    publisher: Publisher | None
    relay: Relay | None
    sweeper: Sweeper
    collector: Collector
    submissions: Submissions
    schedules: Schedules
    flows: Flows
    releaser: Releaser
    scheduler: Scheduler
    deliverer: Deliverer
    additions: Additions
    bodies: HeldBodies
    watch: JobWatch
    ended: Doorbell  # rung when jobs have ended
    added: Doorbell | None  # to be rung when jobs were added; None where a publisher tells of them
    hint: Callable[[Sequence[Hint]], None]  # tells workers of jobs that are due; what gets lost is left to the relay
    streams: Streams
    keyring: Keyring
    identify: Identify
    refresh_issuer: Step | None  # fetches its keys when their time has come; None where no tokens are taken
    limiter: RateLimiter | None
    trail: Trail | None  # None where nobody says who they are
    metrics: ApiMetrics
    queues: frozenset[str]  # those that the tasks use
    queue_statuses: Cached[list[QueueStatus]]
    output_turn: asyncio.Lock  # held by whoever asks the store whether there is more output


def assemble(
    settings: ApiSettings,
    tasks: dict[str, Task],
    database: Database,
    artifacts: Artifacts,
    publisher: Publisher | None,
) -> Services:
    """Return the services on top of a store, an artifact storage and a publisher."""
    submissions = Submissions(tasks, settings)
    schedules = Schedules(submissions, settings)
    store = Store(database, threads=settings.store_threads, answer_seconds=settings.store_answer_seconds)

    async def add(new: Sequence[NewJob]) -> Sequence[Added]:
        return await store.run(jobs.add, new, max_queued=settings.max_queued)

    async def add_waiting(new: Sequence[NewJob]) -> Sequence[Added]:
        return await store.run(jobs.add, new, max_queued=settings.max_queued, wait=True)

    async def versions(job_ids: Sequence[str]) -> dict[str, int]:
        return await store.run(jobs.versions, job_ids)

    async def find_keys(key_ids: Sequence[str]) -> dict[str, ApiKey]:
        return await store.run(api_keys.find, key_ids)

    async def take(wanted: Mapping[str, int]) -> dict[str, Grant]:
        return await store.run(rates.take, wanted, per_window=settings.max_requests_per_minute)

    async def record(records: Sequence[AuditRecord]) -> None:
        await store.run(audits.add, records)

    async def queue_statuses() -> list[QueueStatus]:
        return await store.scan(queues.statuses, names)

    added = None if publisher else Doorbell(database, Topic.ADDED)
    hint = _hinting(publisher, added)
    additions = Additions(
        add,
        add_waiting if settings.max_queued else None,
        answer_seconds=settings.store_answer_seconds,
        most_waiting=max(1, settings.store_threads // 2),
    )
    limiter = None
    if settings.max_requests_per_minute:
        answer_seconds = settings.store_answer_seconds
        limiter = RateLimiter(take, per_window=settings.max_requests_per_minute, answer_seconds=answer_seconds)
    keyring = Keyring(find_keys, answer_seconds=settings.store_answer_seconds)
    refresh_issuer: Step | None = None
    identify: Identify = keyring.identify if settings.takes_keys else anybody
    if settings.takes_tokens:
        refresh_issuer, identify = _tokens(settings, keyring)
    relay = Relay(store, publisher) if publisher else None
    deliverer = Deliverer(store, Outbound(submissions.guard).post, settings)
    streams = Streams(most=settings.max_streams, most_of_client=settings.max_streams_per_client)
    names = frozenset(task.queue for task in tasks.values())
    metrics = ApiMetrics(tasks)
    metrics.watch(lambda: _state(store, streams, publisher, relay, deliverer))
    return Services(
        settings=settings,
        tasks=submissions.tasks,
        store=store,
        artifacts=artifacts,
        publisher=publisher,
        relay=relay,
        sweeper=Sweeper(database, lease_seconds=settings.lease_seconds),
        collector=Collector(database, artifacts),
        submissions=submissions,
        schedules=schedules,
        flows=Flows(submissions),
        releaser=Releaser(store, hint),
        scheduler=Scheduler(database, schedules, max_queued=settings.max_queued),
        deliverer=deliverer,
        additions=additions,
        bodies=HeldBodies(most_bytes=settings.max_held_bytes, patience_seconds=settings.store_answer_seconds),
        watch=JobWatch(versions, most_waiters=MOST_WAITERS + settings.max_streams),
        keyring=keyring,
        identify=identify,
        refresh_issuer=refresh_issuer,
        limiter=limiter,
        trail=Trail(record) if settings.asks else None,
        ended=Doorbell(database, Topic.ENDED),
        added=added,
        hint=hint,
        streams=streams,
        metrics=metrics,
        queues=names,
        queue_statuses=Cached(queue_statuses, seconds=QUEUES_KEPT_SECONDS),
        output_turn=asyncio.Lock(),
    )


def _hinting(publisher: Publisher | None, added: Doorbell | None) -> Callable[[Sequence[Hint]], None]:
    def hint(due: Sequence[Hint]) -> None:
        if publisher is not None and due:
            publisher.publish(due)
        if added is not None and due:
            added.ring()

    return hint


def _tokens(settings: ApiSettings, keyring: Keyring) -> tuple[Step, Identify]:
    # Cryptography costs every start time and memory, and only those who ask for tokens need it.
    from offload_api.authentication import Authentication  # noqa: PLC0415
    from offload_api.issuer import Issuer  # noqa: PLC0415
    from offload_api.tokens import Tokens  # noqa: PLC0415

    issuer = Issuer(settings.jwt_issuer, answer_seconds=settings.store_answer_seconds)
    tokens = Tokens(issuer, settings)
    return issuer.step, Authentication(keyring, tokens).identify if settings.takes_keys else tokens.identify


def _state(
    store: Store, streams: Streams, publisher: Publisher | None, relay: Relay | None, deliverer: Deliverer
) -> ProcessState:
    return ProcessState(
        store_connections=store.database.connections,
        store_connections_in_use=store.database.connections_in_use,
        store_calls=store.calls,
        store_timeouts=store.timeouts,
        streams=streams.open,
        publisher=_publisher_state(publisher, relay) if publisher and relay else None,
        deliveries=dict(deliverer.outcomes),
    )


def _publisher_state(publisher: Publisher, relay: Relay) -> PublisherState:
    return PublisherState(
        connected=publisher.connected,
        unconfirmed=publisher.unconfirmed,
        published=publisher.published,
        confirmed=publisher.confirmed,
        returned=publisher.returned,
        dropped=publisher.dropped,
        relayed=relay.relayed,
    )
