"""What becomes of the hints at jobs whose queue is paused, and once it is resumed; on any API process, with no leader.

A paused queue's hints are dropped: its jobs are not claimed. So that the relay need not look at the same jobs again and
again they are passed over, and once the queue is resumed all of them are hinted at again.
"""

from offload_api.store import Store
from offload_shared.store import hints, queues


async def make_up(store: Store) -> None:
    """Pass over what is due in paused queues, and make what was dropped due again; raises `StoreUnavailable`."""
    interrupted = await store.run(queues.interrupted)
    for name in interrupted.resumed:
        while not await store.run(hints.hint_again, name):
            pass
    for name in interrupted.paused:
        while not await store.run(hints.pass_over, name):
            pass
