"""The one actor: Dramatiq's worker threads call it with each hint."""

import dramatiq

from offload_shared.message import ACTOR
from offload_worker.broker import Delivery, HintBroker
from offload_worker.executor import Executor


def declare(broker: HintBroker, executor: Executor, queues: list[str]) -> None:
    """Declare the actor, and the queues that its hints come from."""

    def run_job(delivery: Delivery) -> None:
        executor.execute(delivery)

    dramatiq.Actor(run_job, broker=broker, actor_name=ACTOR, queue_name=queues[0], priority=0, options={})
    for queue in queues:
        broker.declare_queue(queue)
