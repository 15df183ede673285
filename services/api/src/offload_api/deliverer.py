"""Delivers webhooks: any number of API processes do so side by side, with no leader."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from math import inf
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

from offload_api.settings import ApiSettings
from offload_api.signing import signed
from offload_api.store import Store
from offload_api.webhook_views import event_of
from offload_shared.errors import AddressRefused, RequestFailed, StoreUnavailable
from offload_shared.job import JobState
from offload_shared.store import deliveries, jobs
from offload_shared.store.database import Database
from offload_shared.webhook import CALLBACKS, DeliveryState, Taken, Try

#: Deliveries under way at once in one process, and of these to one server; only one to a server that failed the last.
#: No tenant has more than it leaves free: however many of them have servers that hang, there is room for one more.
MOST_AT_ONCE = 100
MOST_OF_TARGET = 8
#: Past so many they are all forgotten: servers that somebody makes up are not to fill the memory.
MOST_FAILING = 10_000
#: What an attempt may take beside what its server takes, before it counts as lost: half of it until it is sent, and
#: half until what came of it is noted.
SLACK_SECONDS = 15.0
#: So long no pause between two attempts is, but for the jitter.
LONGEST_PAUSE_SECONDS = 4 * 3600.0
GROWTH = 4.0
JITTER = 0.25
#: Between two looks at what is due, while some are under way.
LOOK_SECONDS = 1.0
#: For those under way at the end of the process; the others are taken again, by whoever is there.
END_SECONDS = 2.0

JOB_GONE = "the job is there no more"
UNKNOWN = "given up: what came of the attempts before is not known"
#: What is wrong with an answer, by the hundreds of its status.
_UNTAKEN = {
    1: "no answer that counts",
    3: "redirects are not followed",
    4: "the server refuses it",
    5: "the server has failed",
}

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Post(Protocol):
    """Sends a POST, as `Outbound.post` does."""

    async def __call__(self, url: str, *, headers: Mapping[str, str], content: bytes, seconds: float) -> int:
        """Return the status of the answer; raises `AddressRefused` or `RequestFailed`."""
        ...


class Ending(msgspec.Struct, frozen=True):
    """What comes of an attempt to deliver."""

    state: DeliveryState
    retry_seconds: float = 0.0
    disable: bool = False  # the webhook


class Deliverer:
    """Takes what is due each time it is told to, and sends it by `post`."""

    def __init__(
        self, store: Store, post: Post, settings: ApiSettings, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._post = post
        self._timeout_seconds = settings.webhook_timeout_seconds
        self._most_attempts = settings.webhook_attempts
        self._retry_seconds = settings.webhook_retry_seconds
        self._clock = clock
        self._under_way = set[asyncio.Task[None]]()
        self._of_target = Counter[str]()
        self._of_tenant = Counter[str]()
        self._failing = set[str]()
        # Two of the store's threads, however much is under way: they are there for requests first. What came of an
        # attempt does not wait for others to be made ready: while the store is slow it would count as lost.
        self._making = asyncio.Lock()
        self._noting = asyncio.Lock()
        self._after = ""
        self.outcomes = Counter[str]()  # of attempts, since the start

    async def step(self) -> None:
        """Deliver what is due; returns once nothing more is, with the last of it still under way.

        Raises `StoreUnavailable`.
        """
        while True:
            found = await self._run(deliveries.due_targets, after=self._after)
            self._after = found.last
            if not found.due:
                return
            await self._take(found.due)
            if not self._under_way:
                return  # others have taken it
            await asyncio.wait(self._under_way, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> None:
        """Let what is under way come to its end, for a moment."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=END_SECONDS)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def make(self, job_id: str, tenant: str) -> None:
        """Store what is told of a job that has ended, which is about to go; raises `StoreUnavailable`."""
        if (payload := await self._payload(job_id, tenant)) is not None:
            await self._run(deliveries.make, job_id, payload)

    async def _take(self, due: Mapping[str, str]) -> None:
        wanted = self._room(due)
        if not wanted:
            return
        lease_seconds = self._timeout_seconds + SLACK_SECONDS
        async with self._noting:
            ready_by = time.monotonic() + SLACK_SECONDS / 2
            found = await self._store.run(deliveries.take, wanted, lease_seconds=lease_seconds)
        for taken in found:
            self._of_target[taken.target] += 1
            self._of_tenant[taken.tenant] += 1
            task = asyncio.create_task(self._deliver(taken, ready_by))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def _room(self, due: Mapping[str, str]) -> dict[str, int]:
        # In an order by chance: where there are more servers than room, none waits for ever for those before it.
        left = MOST_AT_ONCE - len(self._under_way)
        of_tenant = self._of_tenant.copy()
        wanted = dict[str, int]()
        for target in random.sample(list(due), len(due)):
            most = 1 if target in self._failing else MOST_OF_TARGET
            share = (left - of_tenant[due[target]]) // 2
            room = min(most - self._of_target[target], share)
            if room > 0:
                wanted[target] = room
                of_tenant[due[target]] += room
                left -= room
        return wanted

    async def _deliver(self, taken: Taken, ready_by: float) -> None:
        try:
            await self._attempt(taken, ready_by)
        except StoreUnavailable as error:
            _log.warning("delivery %s is made again, nothing being known of this attempt: %s", taken.id, error)
        except Exception:  # noqa: BLE001 - nobody else would say so; its lease is over some time
            _log.exception("what came of delivery %s is not stored", taken.id)
        finally:
            self._of_target -= Counter([taken.target])  # which also forgets who has none left
            self._of_tenant -= Counter([taken.tenant])

    async def _attempt(self, taken: Taken, ready_by: float) -> None:
        at, began = datetime.fromtimestamp(self._clock(), UTC), time.monotonic()
        payload, status, error = await self._outcome(taken, ready_by)
        ending = self._ending(taken, status, lost=error == JOB_GONE)
        self._note(taken, ending)
        made = Try(at=at, seconds=round(time.monotonic() - began, 3), status=status, error=error)
        await self._run(
            deliveries.settle,
            taken,
            made,
            ending.state,
            payload=payload,
            retry_seconds=ending.retry_seconds,
            disable=ending.disable,
        )

    async def _outcome(self, taken: Taken, ready_by: float) -> tuple[str | None, int | None, str | None]:
        """Return what was to be told, the status of the answer, and what was wrong; each None where there is none."""
        payload = taken.payload
        if taken.failures > self._most_attempts:
            return payload, None, UNKNOWN
        try:
            payload = payload or await self._payload(taken.job_id, taken.tenant, ready_by)
            if payload is None:
                return None, None, JOB_GONE
            _require_time(ready_by)
            status = await self._send(taken, payload)
        except StoreUnavailable:
            raise
        except AddressRefused as refused:
            return payload, None, f"the URL {refused}"
        except RequestFailed as failed:
            return payload, None, str(failed)
        except Exception:  # noqa: BLE001 - it may be so each time: it is to be tried no more often than other failures
            _log.exception("delivery %s failed", taken.id)
            return payload, None, "something went wrong here; the service's log says what"
        return payload, status, _UNTAKEN.get(status // 100)

    async def _payload(self, job_id: str, tenant: str, ready_by: float = inf) -> str | None:
        async with self._making:
            _require_time(ready_by)
            job = await self._store.run(jobs.get, job_id, tenant=tenant)
            if job is None:
                return None
            result = None
            if job.state is JobState.SUCCEEDED:
                result = await self._store.run(jobs.result, job_id, tenant=tenant)
        return event_of(job, result).decode()

    async def _send(self, taken: Taken, payload: str) -> int:
        content = payload.encode()
        # A job ends once, so this names the event, on every attempt and to every server.
        message_id = f"{taken.job_id}-{taken.event.rpartition('.')[2]}"
        headers = signed(message_id, int(self._clock()), content, taken.secrets.good())
        headers |= {"Content-Type": "application/json", "User-Agent": "Offload"}
        return await self._post(taken.url, headers=headers, content=content, seconds=self._timeout_seconds)

    async def _run(self, verb: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._noting:
            return await self._store.run(verb, *args, **kwargs)

    def _ending(self, taken: Taken, status: int | None, *, lost: bool) -> Ending:
        if status is not None and 200 <= status < 300:
            return Ending(DeliveryState.DELIVERED)
        pause = pause_seconds(taken.failures, self._retry_seconds)
        if status == HTTPStatus.GONE:
            return Ending(DeliveryState.FAILED, pause, disable=not taken.target.startswith(CALLBACKS))
        ends = lost or taken.failures >= self._most_attempts
        return Ending(DeliveryState.FAILED if ends else DeliveryState.PENDING, pause)

    def _note(self, taken: Taken, ending: Ending) -> None:
        self.outcomes["retried" if ending.state is DeliveryState.PENDING else ending.state.value] += 1
        if ending.state is DeliveryState.DELIVERED:
            self._failing.discard(taken.target)
        else:
            if len(self._failing) > MOST_FAILING:
                self._failing.clear()
            self._failing.add(taken.target)


def _require_time(ready_by: float) -> None:
    # Somebody else may have taken it by the time of an answer.
    if time.monotonic() > ready_by:
        raise StoreUnavailable("the store was too slow to make it ready")


def pause_seconds(failures: int, first_seconds: float) -> float:
    """Return the pause after so many failures, with jitter, so that what failed together does not return so."""
    pause = min(first_seconds * GROWTH ** min(failures - 1, 20), LONGEST_PAUSE_SECONDS)
    return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, guards nothing
