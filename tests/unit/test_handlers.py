from typing import Any

import pytest
from msgspec.structs import replace

from offload_shared import tasks
from offload_shared.errors import SettingsInvalid
from offload_shared.tasks.task import RunsIn
from offload_worker import handlers

ECHO = tasks.registry()["echo"]


def blocking(payload: Any, job: Any) -> None: ...


async def waiting(payload: Any, job: Any) -> None: ...


@pytest.fixture
def of_echo(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the handler of echo be the one named `it`."""
    chosen: dict[str, Any] = {}
    monkeypatch.setattr(handlers, "load", lambda _: chosen["it"])
    return chosen


@pytest.mark.parametrize(("handler", "runs_in"), [(blocking, RunsIn.THREAD), (waiting, RunsIn.EVENT_LOOP)])
def test_a_handler_fits_the_place_that_its_task_names(of_echo: dict[str, Any], handler: Any, runs_in: RunsIn) -> None:
    of_echo["it"] = handler

    handlers.check(replace(ECHO, runs_in=runs_in))


@pytest.mark.parametrize(
    ("handler", "runs_in", "sentence"),
    [
        (blocking, RunsIn.EVENT_LOOP, "a blocking function cannot run in the event loop"),
        (waiting, RunsIn.THREAD, "an async function cannot run in a thread"),
    ],
)
def test_a_handler_that_would_block_the_loop_or_never_run_stops_the_start(
    of_echo: dict[str, Any], handler: Any, runs_in: RunsIn, sentence: str
) -> None:
    of_echo["it"] = handler

    with pytest.raises(SettingsInvalid, match=sentence):
        handlers.check(replace(ECHO, runs_in=runs_in))
