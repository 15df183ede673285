"""Claims about the output of attempts in the store, on both databases."""

from concurrent.futures import ThreadPoolExecutor

from offload_shared.job import Cancelled, Failed, Failure, JobState, Output, Usage
from offload_shared.store import leases, outputs
from offload_shared.store.database import Database
from tests.jobs import claimed, make_due, read, running

KEPT = outputs.KEPT_BYTES


def test_an_attempts_output_is_read_whole_and_from_any_byte_on(database: Database) -> None:
    lease = running(database)
    outputs.append(database, {lease: Output(0, b"one\n\x00")})
    outputs.append(database, {lease: Output(5, b"two\n")})

    assert Output(0, b"one\n\x00two\n") == outputs.read(database, *lease)
    assert Output(2, b"e\n\x00two\n") == outputs.read(database, *lease, after=2)
    assert Output(9, b"") == outputs.read(database, *lease, after=9)


def test_a_part_stored_again_replaces_a_shorter_one_and_never_a_longer(database: Database) -> None:
    lease = running(database)
    for content in (b"one", b"one\ntwo\n", b"one"):
        outputs.append(database, {lease: Output(0, content)})

    assert Output(0, b"one\ntwo\n") == outputs.read(database, *lease)


def test_each_attempt_has_its_own_output_and_a_stale_one_adds_nothing(database: Database) -> None:
    first = running(database)
    outputs.append(database, {first: Output(0, b"first")})
    leases.finish(database, first, Failed(Failure.ERROR, "it broke"), Usage(), Output(5, b" ended"))
    make_due(database, first[0])
    again = claimed(database, first[0])
    assert again is not None
    second = (again.id, again.attempt)

    outputs.append(database, {first: Output(11, b" late"), second: Output(0, b"second")})

    assert b"first ended" == outputs.read(database, *first).content
    assert b"second" == outputs.read(database, *second).content


def test_a_refused_finish_leaves_no_last_words(database: Database) -> None:
    job_id, number = running(database)

    assert leases.finish(database, (job_id, number + 1), Cancelled(), Usage(), Output(0, b"stale")) is None

    assert JobState.RUNNING == read(database, job_id).state
    assert b"" == outputs.read(database, job_id, number + 1).content


def test_of_a_long_output_the_last_bytes_are_kept(database: Database) -> None:
    lease = running(database)
    part = KEPT // 4

    for number in range(10):
        outputs.append(database, {lease: Output(number * part, bytes([number]) * part)})

    kept = outputs.read(database, *lease)
    assert (6 * part, 10 * part) == (kept.start, kept.end)
    assert bytes([6]) == kept.content[:1]
    assert kept.content[-1:] == bytes([9])


def test_parts_that_lap_over_are_read_once_and_what_was_before_a_gap_is_left_out(database: Database) -> None:
    lease = running(database)
    for part in (Output(0, b"0123456789"), Output(5, b"56789abc"), Output(6, b"67")):
        outputs.append(database, {lease: part})
    assert Output(0, b"0123456789abc") == outputs.read(database, *lease)
    assert Output(7, b"789abc") == outputs.read(database, *lease, after=7)

    outputs.append(database, {lease: Output(20, b"later")})

    assert Output(20, b"later") == outputs.read(database, *lease)


def test_output_that_is_stored_while_its_attempt_ends_keeps_nobody_waiting(database: Database) -> None:
    for size in range(1, 40):
        end_while_storing(database, Output(0, b"x" * size))


def end_while_storing(database: Database, said: Output) -> None:
    lease = running(database)

    with ThreadPoolExecutor(2) as pool:
        appended = pool.submit(outputs.append, database, {lease: said})
        finished = pool.submit(leases.finish, database, lease, Cancelled(), Usage(), Output(0, b"x" * 50))

    assert appended.result() is None  # a deadlock would raise StoreUnavailable on one of the two
    assert JobState.CANCELLED == finished.result()
    assert Output(0, b"x" * 50) == outputs.read(database, *lease)
