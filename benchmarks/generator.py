"""Runs a load generator: a process that prints `ready`, works until its input ends, and prints its figures."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(command: Sequence[str], *, end_seconds: float, **options: Any) -> Iterator[Callable[[], bytes]]:
    """Run a generator; yields the function that ends it, within so many seconds, and returns what it has printed.

    `options` are those of `subprocess.Popen`. Raises `RuntimeError` when it does not start, or fails.
    """
    generator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    assert generator.stdout is not None

    def stop() -> bytes:
        output, _ = generator.communicate(timeout=end_seconds)
        if generator.returncode:
            raise RuntimeError(f"the load generator ended with exit status {generator.returncode}")
        return bytes(output)

    try:
        if generator.stdout.readline() != b"ready\n":
            raise RuntimeError("the load generator did not start")
        yield stop
    finally:
        generator.kill()
        generator.wait()
