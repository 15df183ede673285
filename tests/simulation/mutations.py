"""The protocol's rules, each broken on purpose: a checker that has never failed proves nothing."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

from sqlalchemy import Connection, delete, event, insert, select

from offload_api.relay import Relay
from offload_shared.errors import CommitUnknown
from offload_shared.job import IfFailed, JobState
from offload_shared.store import deliveries, endings, flows, hints, jobs, leases, leftovers, releases, steps
from offload_shared.store.jobs import Added
from offload_shared.store.schema import dependency, job, step_end
from offload_shared.store.sweeper import Sweeper
from offload_worker.executor import Executor
from offload_worker.running import RunningAttempt
from tests.simulation.store import RealStore, real_store
from tests.simulation.world import UNEXPECTED, Verdict, simulate

#: Counts the statements that a mutation has rewritten.
REWRITTEN = "statements rewritten"

Breaking = Callable[[contextlib.ExitStack, RealStore], None]


@dataclass(frozen=True)
class Mutation:
    """A rule, and how it is broken."""

    rule: str  # what no longer holds
    breaking: Breaking
    first_seed: int = 1  # one that catches it
    survives: str = ""  # why nothing goes wrong without the rule, where that is so
    triggers: bool = False  # a second wall, which would hide that the first is down
    unique_keys: bool = True
    refused: bool = False  # the store's own constraints catch it, as an error, and no invariant has to

    def is_caught_by(self, verdict: Verdict) -> bool:
        """Whether a seed has told that the rule is broken: an error tells that only where it is meant to."""
        return bool(verdict.violation) and (self.refused or not verdict.violation.startswith(UNEXPECTED))


def broken(mutation: Mutation, seed: int, *, triggers: bool | None = None) -> Verdict:
    """Run a seed with a rule broken."""
    real = real_store(triggers=mutation.triggers if triggers is None else triggers, unique_keys=mutation.unique_keys)
    with contextlib.ExitStack() as stack:
        mutation.breaking(stack, real)
        verdict = simulate(seed, real)
    if isinstance(mutation.breaking, Rewriting):
        verdict.counts[REWRITTEN] = mutation.breaking.rewritten
    return verdict


def _replace(owner: Any, name: str, value: Any) -> Breaking:
    def breaking(stack: contextlib.ExitStack, _: RealStore) -> None:
        stack.enter_context(mock.patch.object(owner, name, value))

    return breaking


def _both(*breakings: Breaking) -> Breaking:
    def breaking(stack: contextlib.ExitStack, real: RealStore) -> None:
        for each in breakings:
            each(stack, real)

    return breaking


@dataclass
class Rewriting:
    """Leaves a guard out of the very statement that a verb makes; `AssertionError` when the guard is not in it."""

    beginning: str  # what tells the statement from others
    old: str
    new: str
    rewritten: int = 0  # statements so far

    def __call__(self, stack: contextlib.ExitStack, real: RealStore) -> None:
        """Rewrite the statements of a store."""
        changed = set[str]()

        def rewrite(_c: Any, _k: Any, statement: str, parameters: Any, _x: Any, _m: Any) -> tuple[str, Any]:
            if self.beginning not in statement:
                return statement, parameters
            if self.old not in statement:
                changed.add(statement)
            self.rewritten += 1
            return statement.replace(self.old, self.new), parameters

        # Not raised where the statement is made: in there it would be taken for the violation that is looked for.
        def check() -> None:
            if changed:
                msg = f"the statement has changed; the mutation finds no {self.old!r} in it: {min(changed)}"
                raise AssertionError(msg)

        engine = real.database._engine
        event.listen(engine, "before_cursor_execute", rewrite, retval=True)
        stack.callback(check)
        stack.callback(event.remove, engine, "before_cursor_execute", rewrite)


#: What only the claim's statement holds.
_CLAIM = "attempt=(job.attempt + ?)"
_add, _finish, _decide, _heartbeat = jobs.add, leases.finish, endings.decide, leases.heartbeat
_put, _execute = endings._execute, Executor.execute
_tell, _release = releases._tell, releases._release


def _added(new: Any) -> list[Added]:
    moment = datetime.now(UTC)
    return [Added(each.id, created_at=moment, run_at=moment + timedelta(seconds=each.delay_seconds)) for each in new]


def _answer_before_the_commit(database: Any, new: Any) -> list[Added]:
    database._world.scheduler.spawn(database._process, partial(_add, database, new), after=0.05)
    return _added(new)


def _take_an_unknown_commit_for_one(database: Any, new: Any) -> list[Added]:
    try:
        return _add(database, new)
    except CommitUnknown:
        return _added(new)


def _finish_whatever_the_answer(database: Any, *arguments: Any) -> Any:
    try:
        return _finish(database, *arguments)
    except CommitUnknown:
        return JobState.SUCCEEDED


def _lock_any_attempt(connection: Connection, asked: Any) -> Any:
    return _locked(connection, asked, lambda lease: (job.c.id == lease[0]) & (job.c.state == JobState.RUNNING))


def _lock_in_any_state(connection: Connection, asked: Any) -> Any:
    return _locked(connection, asked, lambda lease: (job.c.id == lease[0]) & (job.c.attempt == lease[1]))


def _locked(connection: Connection, asked: Any, which: Callable[[Any], Any]) -> Any:
    found = {lease: select(job, deliveries.heard()).where(which(lease)) for lease in asked}
    rows = {lease: connection.execute(statement).one_or_none() for lease, statement in found.items()}
    return {lease: row for lease, row in rows.items() if row}


def _decide_as_if(**changes: Any) -> Callable[[Any, Any], Any]:
    def decide(row: Any, outcome: Any) -> Any:
        return _decide(SimpleNamespace(**{**row._mapping, **changes}), outcome)  # type: ignore[arg-type]

    return decide


def _decide_without(count: str) -> Callable[[Any, Any], Any]:
    def decide(row: Any, outcome: Any) -> Any:
        step = _decide(row, outcome)
        return endings.Next(
            step.state, step.delay_seconds, **{"errors": step.errors, "losses": step.losses} | {count: 0}
        )

    return decide


def _heartbeat_without_cancels(*arguments: Any, **keywords: Any) -> Any:
    return leases.Heartbeat(_heartbeat(*arguments, **keywords).held, frozenset())


def _heartbeat_that_holds_all(database: Any, held: Any, **keywords: Any) -> Any:
    answer = _heartbeat(database, held, **keywords)
    return leases.Heartbeat(frozenset(held), answer.cancelled)


def _finish_in_two_transactions(database: Any, lease: Any, *arguments: Any) -> Any:
    later: list[Any] = []

    # Others may run meanwhile: only what this very end records is put off.
    def put_off(connection: Any, statement: Any, rows: Any) -> None:
        if statement is endings._RECORD and [(row["job_id"], row["number"]) for row in rows] == [lease]:
            later.extend(rows)
        else:
            _put(connection, statement, rows)

    with mock.patch.object(endings, "_execute", put_off):
        state = _finish(database, lease, *arguments)
    database.write(lambda connection: _put(connection, endings._RECORD, later))
    return state


async def _no_step(_: Relay) -> None: ...


def _tell_as_if(**changes: Any) -> Callable[..., Any]:
    def tell(connection: Connection, follower: Any, ended: Any) -> Any:
        wrong = {name: change(ended) for name, change in changes.items()}
        return _tell(connection, SimpleNamespace(**{**follower._mapping, **wrong}), ended)  # type: ignore[arg-type]

    return tell


def _forget_first(database: Any) -> Any:
    ended = database.read(lambda connection: connection.execute(select(step_end.c.job_id)).scalars().all())
    if not ended:
        return releases.Released(0, [])
    database.write(lambda connection: connection.execute(delete(step_end)))
    told = [{"job_id": job_id} for job_id in ended]
    return database.write(lambda connection: _tell_these(connection, told))


def _tell_these(connection: Connection, told: Any) -> Any:
    connection.execute(insert(step_end), told)
    return _release(connection)


def _add_one_by_one(database: Any, new: Any, **_: Any) -> Any:
    answers = [answer for each in new for answer in _add(database, [each])]
    rows = [{"job_id": each.id, "after_id": after} for each in new for after in each.step.after]
    database.write(lambda connection: connection.execute(insert(dependency), rows))
    return answers


def _acknowledge_first(executor: Executor, delivery: Any) -> None:
    delivery.settle()
    _execute(executor, delivery)


_make_sweeper = Sweeper.__init__


def _impatient_sweeper(sweeper: Sweeper, database: Any, *, lease_seconds: float, clock: Any) -> None:
    _make_sweeper(sweeper, database, lease_seconds=0.0, clock=clock)


_NO_RELAY = _replace(Relay, "step", _no_step)
_NO_SELF_FENCE = _replace(RunningAttempt, "lease_is_running_out", lambda *_: False)
_HEARTBEAT_HOLDS_ALL = _replace(leases, "heartbeat", _heartbeat_that_holds_all)

#: The first seed that has flows.
_FLOWS = 12

MUTATIONS = [
    Mutation("202 is answered after the commit", _replace(jobs, "add", _answer_before_the_commit)),
    Mutation("an unknown commit is no 202", _replace(jobs, "add", _take_an_unknown_commit_for_one), first_seed=44),
    Mutation("one job for each idempotency key", lambda *_: None, unique_keys=False),
    Mutation("only the attempt that holds the lease ends a job", _replace(leases, "lock_running", _lock_any_attempt)),
    Mutation("only a running job is ended", _replace(leases, "lock_running", _lock_in_any_state), refused=True),
    Mutation("a claim raises the attempt", Rewriting(_CLAIM, _CLAIM, "attempt=(job.attempt + 0 * ?)")),
    Mutation(
        "a claim takes queued jobs only",
        Rewriting(_CLAIM, "AND job.state = ?", "AND job.state <> ? || '-'"),
        first_seed=10,
    ),
    Mutation("a claim waits for run_at", Rewriting(_CLAIM, " AND job.run_at <= offload_clock(0)", ""), first_seed=32),
    Mutation(
        "a claim refuses what is past its deadline",
        Rewriting(_CLAIM, " AND (job.deadline_at IS NULL OR job.deadline_at > offload_clock(0))", ""),
    ),
    Mutation(
        "a claim refuses what is to be cancelled",
        Rewriting(_CLAIM, " AND job.cancel_requested = 0", ""),
        survives="Not needed: a queued job is cancelled at once, and an attempt that ends with a cancel requested "
        "never leaves its job queued. It guards against a hand in the database.",
    ),
    Mutation("a worker fences itself", _NO_SELF_FENCE, first_seed=90),
    Mutation("a heartbeat tells a worker that it is fenced", _HEARTBEAT_HOLDS_ALL, first_seed=317),
    Mutation(
        "a worker learns in any way that it is fenced", _both(_NO_SELF_FENCE, _HEARTBEAT_HOLDS_ALL), first_seed=58
    ),
    Mutation(
        "a heartbeat prolongs the lease",
        Rewriting(
            "UPDATE job SET lease_until=", "lease_until=offload_clock(?)", "lease_until=coalesce(lease_until, ?)"
        ),
    ),
    Mutation(
        "the sweeper waits for the end of a lease",
        _both(
            Rewriting("AND job.lease_until < offload_clock(0)", "job.lease_until < offload_clock(0)", "1 = 1"),
            Rewriting("AND job.lease_until <= offload_clock(0)", "job.lease_until <= offload_clock(0)", "1 = 1"),
        ),
    ),
    Mutation(
        "the sweeper leaves leases alone for one lease after an outage",
        _replace(Sweeper, "__init__", _impatient_sweeper),
        survives="It spares attempts, not jobs: without it, leases that ran out while the store was away end at once, "
        "and their attempts count as lost though their workers live. The fence holds either way.",
    ),
    Mutation("there is a sweeper", _replace(Sweeper, "sweep", lambda _: 0)),
    Mutation("there is a relay", _NO_RELAY),
    Mutation("a hint is repeated", _replace(hints, "REPEAT_SECONDS", 10**9), first_seed=23),
    Mutation(
        "a broker that lost its data gets all hints again",
        _replace(hints, "forget_published", lambda *_: 0),
        first_seed=13,
    ),
    Mutation(
        "a hint is acknowledged after the claim",
        _replace(Executor, "execute", _acknowledge_first),
        survives="It saves time, not jobs: a hint that dies with its worker before the claim is repeated by the relay.",
    ),
    Mutation(
        "a hint is acknowledged after the claim, where there is no relay",
        _both(_NO_RELAY, _replace(Executor, "execute", _acknowledge_first)),
    ),
    Mutation("a loss is counted", _replace(endings, "decide", _decide_without("losses"))),
    Mutation("losses have a limit", _replace(endings, "MOST_LOSSES", 10**6)),
    Mutation("an error is counted", _replace(endings, "decide", _decide_without("errors"))),
    Mutation("errors have a limit", _replace(endings, "decide", _decide_as_if(max_attempts=10**6))),
    Mutation(
        "the end of an attempt minds a cancel", _replace(endings, "decide", _decide_as_if(cancel_requested=False))
    ),
    Mutation(
        "a worker minds a cancel",
        _both(
            _replace(leases, "heartbeat", _heartbeat_without_cancels),
            _replace(leases, "cancellations", lambda *_: frozenset()),
        ),
    ),
    Mutation(
        "files of attempts that did not succeed are collected",
        _replace(leftovers, "note", lambda *_, **__: None),
        first_seed=105,
    ),
    Mutation(
        "the jobs of a flow are added in one transaction", _replace(flows, "add", _add_one_by_one), first_seed=_FLOWS
    ),
    Mutation(
        "the end of a job is noted for those that follow it",
        _replace(steps, "note_ends", lambda *_: None),
        first_seed=_FLOWS,
    ),
    Mutation(
        "an end is noted until those that follow are told",
        _replace(releases, "release", _forget_first),
        first_seed=79,
    ),
    Mutation("ends are told of", _replace(releases, "release", lambda _: releases.Released(0, [])), first_seed=_FLOWS),
    Mutation(
        "a job waits for all that it follows",
        _replace(releases, "_tell", _tell_as_if(waits_for=len)),
        first_seed=_FLOWS,
    ),
    Mutation(
        "a job is told how those that it follows have ended",
        _replace(releases, "_tell", _tell_as_if(if_failed=lambda _: IfFailed.RUN)),
        first_seed=_FLOWS,
    ),
    Mutation("a result is stored with the end of its job", _replace(leases, "finish", _finish_in_two_transactions)),
    Mutation(
        "a worker repeats an end whose commit is unknown",
        _replace(leases, "finish", _finish_whatever_the_answer),
        survives="It spares work, not jobs: an end that was not written is a lost attempt, and the job runs again.",
    ),
]
