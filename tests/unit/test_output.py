import asyncio
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from offload_shared.job import Output
from offload_shared.store.outputs import KEPT_BYTES
from offload_worker import output
from offload_worker.output import OutputBuffer, captured_by


@contextmanager
def installed() -> Iterator[io.BytesIO]:
    """Tell handlers from the worker, whose standard streams a test can read; undone afterwards."""
    streams, handlers = (sys.stdout, sys.stderr), logging.getLogger().handlers[:]
    workers = io.BytesIO()
    sys.stdout = sys.stderr = io.TextIOWrapper(workers)
    try:
        output.install()
        yield workers
    finally:
        sys.stdout, sys.stderr = streams
        logging.getLogger().handlers[:] = handlers


def test_what_was_said_is_pending_until_it_is_stored() -> None:
    buffer = OutputBuffer()
    buffer.add(b"one")
    first = buffer.pending()
    assert Output(0, b"one") == first
    buffer.line("two")
    assert first is not None

    buffer.stored(first)

    assert Output(3, b"two\n") == buffer.pending()
    buffer.stored(Output(3, b"two\n"))
    assert buffer.pending() is None


def test_of_a_flood_the_last_bytes_are_pending_and_memory_stays_bounded() -> None:
    buffer = OutputBuffer()
    for _ in range(100):
        buffer.add(b"x" * 60_000)
    buffer.add(b"the end")

    pending = buffer.pending()

    assert pending is not None
    assert (100 * 60_000 + 7 - KEPT_BYTES, KEPT_BYTES) == (pending.start, len(pending.content))
    assert pending.content.endswith(b"the end")
    assert "e end" == buffer.tail(5)


def test_what_a_handler_prints_and_logs_is_its_attempts_and_the_rest_the_workers() -> None:
    buffer = OutputBuffer()

    with installed() as workers:
        print("the worker")
        with captured_by(buffer):
            print("the handler")
            logging.getLogger("a.library").warning("careful")
            logging.getLogger("offload_worker.store").warning("of no interest")
        print("the worker again")
        assert b"the worker\nthe worker again\n" == workers.getvalue()

    said = buffer.tail(1000)
    assert said.startswith("the handler\n")
    assert said.endswith("WARNING a.library: careful")


def test_coroutines_that_take_turns_keep_their_output_apart() -> None:
    async def say(words: str, buffer: OutputBuffer) -> None:
        with captured_by(buffer):
            for word in words.split():
                print(word)
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(say("a b c", buffers[0]), say("1 2 3", buffers[1]))

    buffers = [OutputBuffer(), OutputBuffer()]
    with installed():
        asyncio.run(both())

    assert ["a\nb\nc", "1\n2\n3"] == [buffer.tail(100) for buffer in buffers]
