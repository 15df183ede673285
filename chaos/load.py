"""The client: lives through each planned job with it, and notes every request and answer."""

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from random import Random
from typing import Any

import msgspec

from chaos.history import Answered, Journal, Planned, Verb
from chaos.http import Client, Response
from chaos.kinds import RECURRING, Kind, note_field
from chaos.plan import PlannedJob, extra

FINAL = ("succeeded", "failed", "cancelled")
WAIT_SECONDS = 10
#: What a request may take beyond the time it is asked to wait; longer than the API itself ever takes to refuse.
ANSWER_SECONDS = 8.0
#: After a refusal, doubled with each: as many as a fault has kept waiting must not come back all at once, and again.
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 5.0
#: Between two tries to submit: after a long outage thousands try at once, and what repeats too soon keeps all out.
LONGEST_SUBMIT_PAUSE_SECONDS = 15.0
#: An answer that nothing has changed which comes so much sooner than asked for: too many wait already.
EARLY_SECONDS = 1.0
#: Of jobs that have not ended, as far as clients know: past it, none is begun with. Each is asked for again and again,
#: and so many that are left over from a fault would keep the services from ever getting to them.
MOST_UNDER_WAY = 3000
ROOM_SECONDS = 0.1
ARTIFACT = "note.txt"
METHODS: dict[Verb, str] = {"submit": "POST", "cancel": "POST", "add-schedule": "POST", "remove-schedule": "DELETE"}


class Load:
    """Any number of jobs, each with a coroutine that follows it; speaks to every API in turn."""

    def __init__(self, ports: Sequence[int], journal: Journal) -> None:
        self._journal = journal
        self._clients = [Client("127.0.0.1", port) for port in ports]
        self._lives: set[asyncio.Task[None]] = set()
        self._mistakes: list[BaseException] = []
        self.submitted = 0
        self.ended = 0

    async def run(self, plan: Sequence[PlannedJob]) -> None:
        """Begin with each job at its time, or once there is room; returns when the last has been begun with."""
        start = self._journal.now()
        for job in plan:
            await asyncio.sleep(max(0.0, start + job.at - self._journal.now()))
            while len(self._lives) >= MOST_UNDER_WAY:
                await asyncio.sleep(ROOM_SECONDS)
            self.begin(job)

    def begin(self, job: PlannedJob) -> asyncio.Task[None]:
        """Begin with a job now."""
        self.submitted += 1
        life = asyncio.create_task(self._live(job), name=job.note)
        self._lives.add(life)
        life.add_done_callback(self._over)
        return life

    def _over(self, life: asyncio.Task[None]) -> None:
        self._lives.discard(life)
        if not life.cancelled() and (mistake := life.exception()):
            self._mistakes.append(mistake)

    def burst(self, kind: Kind, note: str, count: int) -> None:
        """Submit so many jobs of a kind at once."""
        for number in range(count):
            self.begin(extra(kind, f"{note}-{number}"))

    async def settle(self, seconds: float) -> None:
        """Wait until every job has been followed to its end, at most so long; raises what went wrong in this client."""
        if self._lives:
            await asyncio.wait(self._lives, timeout=seconds)
        if self._mistakes:
            raise self._mistakes[0]

    async def close(self) -> None:
        """Follow no job any further."""
        lives = list(self._lives)
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        for client in self._clients:
            client.close()

    async def call(
        self,
        verb: Verb,
        note: str,
        api: int,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        seconds: float = ANSWER_SECONDS,
    ) -> Answered:
        """Send one request, and note it and its answer."""
        number = self._journal.invoke(verb, note, api % len(self._clients))
        client = self._clients[api % len(self._clients)]
        method = METHODS.get(verb, "GET")
        try:
            response = await client.request(method, path, headers=headers or {}, body=body, seconds=seconds)
            answer = _answered(verb, number, response, self._journal.now())
        except OSError:
            answer = Answered(call=number, at=self._journal.now(), status=0)
        self._journal.note(answer)
        return answer

    async def submit(self, job: PlannedJob, body: dict[str, Any], api: int) -> Answered:
        """Submit a job once."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": job.key} if job.key else {})
        return await self.call("submit", job.note, api, "/v1/jobs", headers=headers, body=msgspec.json.encode(body))

    async def _live(self, job: PlannedJob) -> None:
        body = job.body(self._journal.now() + self._journal.epoch)
        self._journal.note(Planned(note=job.note, kind=job.kind.name, body=body, key=job.key))
        repeats = [self._repeat(job, body, after, job.api + 1 + n) for n, after in enumerate(job.repeats)]
        lives = [asyncio.create_task(coroutine) for coroutine in (self._follow(job, body), *repeats)]
        try:
            await asyncio.gather(*lives)
        finally:
            for life in lives:
                life.cancel()

    async def _repeat(self, job: PlannedJob, body: dict[str, Any], after: float, api: int) -> None:
        await asyncio.sleep(after)
        await self.submit(job, body, api)

    async def _follow(self, job: PlannedJob, body: dict[str, Any]) -> None:
        accepted = await self._acknowledged(job, body)
        if accepted is None:
            return
        last, _ = await asyncio.gather(
            self.until_ended(job.note, accepted, job.api), self._cancel(job, accepted.job_id)
        )
        if last.state == "succeeded":
            await self._fetch(job, accepted.job_id)
        self.ended += 1
        if job.survey:
            await asyncio.sleep(Random(job.note).uniform(1, 6))
            await self.call("look", job.note, job.api + 1, f"/v1/jobs/{accepted.job_id}")

    async def _acknowledged(self, job: PlannedJob, body: dict[str, Any]) -> Answered | None:
        api, pauses = job.api, _pauses(job.note, LONGEST_SUBMIT_PAUSE_SECONDS)
        while True:
            answer = await self.submit(job, body, api)
            if answer.status == HTTPStatus.ACCEPTED:
                return answer
            if not (job.stubborn and job.key):
                return None
            await asyncio.sleep(next(pauses))
            api += 1

    async def until_ended(self, note: str, seen: Answered, api: int) -> Answered:
        """Wait for the end of a job, again and again, through whichever API answers."""
        last, pauses = seen, _pauses(note)
        while last.state not in FINAL:
            headers = {"Prefer": f"wait={WAIT_SECONDS}", "If-None-Match": f'"{last.version}-{last.state}"'}
            path, asked = f"/v1/jobs/{seen.job_id}", self._journal.now()
            answer = await self.call("look", note, api, path, headers=headers, seconds=WAIT_SECONDS + ANSWER_SECONDS)
            if answer.status == HTTPStatus.OK:
                last, pauses = answer, _pauses(note)
            elif answer.status != HTTPStatus.NOT_MODIFIED or answer.at - asked < EARLY_SECONDS:
                await asyncio.sleep(next(pauses))
                api += 1
        return last

    async def _cancel(self, job: PlannedJob, job_id: str) -> None:
        if job.cancel_after is None:
            return
        await asyncio.sleep(job.cancel_after)
        await self._insist("cancel", job.note, f"/v1/jobs/{job_id}/cancel", job.api)

    async def _fetch(self, job: PlannedJob, job_id: str) -> None:
        await self._insist("result", job.note, f"/v1/jobs/{job_id}/result", job.api)
        if job.kind.name == "artifact":
            await self._insist("artifact", job.note, f"/v1/jobs/{job_id}/artifacts/{ARTIFACT}", job.api)

    async def add_schedule(self, note: str) -> str:
        """Have a job run every minute, and return the schedule's id."""
        job = {"task": RECURRING.task, "payload": {note_field(RECURRING.task): note}}
        body = {"job": job, "cron": "* * * * *", "timezone": "UTC", "missed": "run_once"}
        headers = {"Content-Type": "application/json", "Idempotency-Key": note}
        answer = await self._insist(
            "add-schedule", note, "/v1/schedules", 0, headers=headers, body=msgspec.json.encode(body)
        )
        return answer.job_id

    async def remove_schedule(self, note: str, schedule_id: str) -> None:
        """Have no further job run."""
        await self._insist("remove-schedule", note, f"/v1/schedules/{schedule_id}", 0)

    async def _insist(self, verb: Verb, note: str, path: str, api: int, **request: Any) -> Answered:
        pauses = _pauses(note)
        while (answer := await self.call(verb, note, api, path, **request)).status in (0, 408, 503):
            await asyncio.sleep(next(pauses))
            api += 1
        return answer


def _pauses(note: str, most: float = LONGEST_PAUSE_SECONDS) -> Iterator[float]:
    random, longest = Random(note), SHORTEST_PAUSE_SECONDS
    while True:
        yield longest * random.uniform(0.5, 1)
        longest = min(most, longest * 2)


def _answered(verb: Verb, number: int, answer: Response, at: float) -> Answered:
    status = answer.status
    if verb in ("result", "artifact"):
        return Answered(call=number, at=at, status=status, body=answer.body.decode(errors="replace"))
    tag = answer.headers.get("etag", "").strip('"')
    if not tag or "json" not in answer.headers.get("content-type", ""):
        return Answered(call=number, at=at, status=status)
    job = msgspec.json.decode(answer.body)
    if verb == "add-schedule":
        return Answered(call=number, at=at, status=status, job_id=job["id"])
    version, _, _ = tag.partition("-")
    return Answered(
        call=number,
        at=at,
        status=status,
        job_id=job["id"],
        state=job["state"],
        version=int(version),
        attempt=job["attempt"],
    )
