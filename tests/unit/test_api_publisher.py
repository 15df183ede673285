import asyncio

import pytest

from offload_api import publisher
from offload_api.broker import ANSWER_SECONDS, BrokerUnavailable
from offload_api.publisher import _watch


class Link:
    """A connection that stays, whose oldest message waits for its confirmation for so long."""

    def __init__(self, oldest_seconds: float, *, blocked: bool = False) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blocked = blocked
        self.looked_at_twice = asyncio.Event()
        self._oldest_seconds = oldest_seconds
        self._looks = 0

    def oldest_seconds(self) -> float:
        self._looks += 1
        if self._looks == 2:
            self.looked_at_twice.set()
        return self._oldest_seconds


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "CHECK_SECONDS", 0.001)


def test_a_broker_that_does_not_confirm_in_time_is_called_anew() -> None:
    async def scenario() -> None:
        await _watch(Link(ANSWER_SECONDS + 1))  # type: ignore[arg-type]

    with pytest.raises(BrokerUnavailable, match="does not confirm"):
        asyncio.run(scenario())


@pytest.mark.parametrize(("seconds", "blocked"), [(ANSWER_SECONDS - 1, False), (ANSWER_SECONDS + 1, True)])
def test_a_broker_that_may_still_confirm_is_waited_for(seconds: float, blocked: bool) -> None:
    async def scenario() -> bool:
        link = Link(seconds, blocked=blocked)
        watching = asyncio.create_task(_watch(link))  # type: ignore[arg-type]
        await link.looked_at_twice.wait()
        waiting = not watching.done()
        watching.cancel()
        return waiting

    assert asyncio.run(scenario())
