"""Calls a handler and turns whatever comes of it into a value, the same wherever it runs."""

import traceback
from typing import Any

import msgspec

from offload_shared.job import Failed, Failure, Succeeded
from offload_shared.tasks.task import Task
from offload_worker.handle import JobRejected, JobStopped
from offload_worker.runners.frames import LARGEST_RESULT_BYTES

#: The failures that a handler's own end can be; all others are seen from outside.
FAILURES = (Failure.ERROR, Failure.REJECTED, Failure.OUT_OF_MEMORY, Failure.RESULT_TOO_LARGE)
LONGEST_DETAIL = 2000
LONGEST_TRACE = 20_000


def read_payload(task: Task, payload: str) -> Any:
    """Return the task's typed input; raises `JobRejected` when it was stored by a version that knew it otherwise."""
    try:
        return msgspec.json.decode(payload, type=task.payload)
    except msgspec.ValidationError as error:
        msg = f"this worker's version of {task.name!r} does not accept the payload: {error}"
        raise JobRejected(msg) from None


def succeeded(task: Task, result: Any) -> Succeeded | Failed:
    """Return the outcome of a handler that returned `result`, which is still to be `accepted`."""
    if not isinstance(result, task.result):
        return Failed(Failure.ERROR, f"the handler returned {type(result).__name__}, not {task.result.__name__}")
    try:
        body = msgspec.json.encode(result)
    except (TypeError, ValueError) as error:
        return Failed(Failure.ERROR, f"the handler's result cannot be written as JSON: {error}")
    return too_large(len(body)) if len(body) > LARGEST_RESULT_BYTES else Succeeded(body)


def too_large(size: int) -> Failed:
    """Return the outcome of a handler whose result has so many bytes."""
    detail = f"the result has {size} bytes of at most {LARGEST_RESULT_BYTES}; leave an artifact instead"
    return Failed(Failure.RESULT_TOO_LARGE, detail)


def accepted(task: Task, body: bytes) -> Succeeded | Failed:
    """Return the outcome of a result in JSON, held to its size and to what the task tells clients to expect."""
    if len(body) > LARGEST_RESULT_BYTES:
        return too_large(len(body))
    try:
        msgspec.json.decode(body, type=task.result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Failed(Failure.ERROR, sentence(f"the handler's result is not what its task tells clients: {error}"))
    return Succeeded(body)


def failed(error: BaseException) -> Failed:
    """Return the outcome of a handler that raised, as a client is told of it."""
    match error:
        case JobRejected():
            return Failed(Failure.REJECTED, sentence(str(error)))
        case MemoryError():
            return Failed(Failure.OUT_OF_MEMORY, "ended when it asked for more memory than its limit")
        case JobStopped():
            return Failed(Failure.ERROR, "the handler raised JobStopped, though nobody stopped the job")
        case _:
            return Failed(Failure.ERROR, sentence(f"{type(error).__name__}: {_words(error)}"))


def trace(error: BaseException) -> str:
    """Return where a handler raised, for the worker's log; empty where the outcome says it all."""
    if isinstance(error, JobRejected | JobStopped):
        return ""
    lines = "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
    return lines.encode(errors="backslashreplace").decode()


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a task's own exception may fail at that too
        return "(without words)"


def sentence(text: str) -> str:
    """Return text fit for the store and a client: one bounded line without control characters or lone surrogates."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST_DETAIL else line[:LONGEST_DETAIL] + " ..."
