import os
import signal

import pika
import pytest

from offload_shared import message, topology
from offload_shared.job import Hint
from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack, gone, until
from tests.servers.session import Servers

LONG = 100_000


def test_a_killed_workers_job_runs_again_elsewhere_and_its_child_is_gone(stack: Stack) -> None:
    stack.start_api()
    first = stack.start_worker("--queue", "probe", "--slots", "1")
    job_id = stack.probe("spin", seconds=3)
    [child] = stack.reports(job_id)

    first.kill()
    stack.start_worker("--queue", "probe", "--slots", "1")

    until(lambda: gone(child), "the end of the orphaned child")
    assert 2 == stack.result(job_id)["attempt"]
    assert ["lost", "succeeded"] == stack.outcomes(job_id)


def test_a_killed_child_is_a_failed_attempt_and_not_a_dead_worker(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.probe("spin", seconds=2)
    [child] = stack.reports(job_id)

    os.kill(child, signal.SIGKILL)

    assert 2 == stack.result(job_id)["attempt"]
    assert ["crashed", "succeeded"] == stack.outcomes(job_id)
    assert not gone(worker.pid)
    assert "SIGKILL" in stack.job(job_id)["attempts"][0]["error"]["detail"]


def test_what_a_killed_api_accepted_is_done_all_the_same(stack: Stack) -> None:
    api = stack.start_api()
    job_ids = [stack.submit("echo", {"text": str(number)}) for number in range(20)]

    api.kill()
    stack.start_worker()
    stack.start_api()

    assert [{"text": str(number)} for number in range(20)] == [stack.result(job_id) for job_id in job_ids]


def test_a_frozen_worker_that_wakes_up_after_its_lease_changes_nothing(stack: Stack) -> None:
    stack.start_api()
    frozen = stack.start_worker("--queue", "probe", "--slots", "1")
    job_id = stack.probe("spin", seconds=3)
    [child] = stack.reports(job_id)

    os.kill(child, signal.SIGSTOP)
    frozen.send(signal.SIGSTOP)
    stack.start_worker("--queue", "probe", "--slots", "1")
    assert 2 == stack.result(job_id)["attempt"]
    frozen.send(signal.SIGCONT)

    until(lambda: gone(child), "the fenced child's end")
    assert ["lost", "succeeded"] == stack.outcomes(job_id)


def test_sigterm_lets_a_short_job_finish_and_gives_a_long_one_back_to_run_elsewhere_at_once(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker()
    long = stack.probe("spin", seconds=LONG)
    [child] = stack.reports(long)
    stack.start_worker("--queue", "probe", "--slots", "2")
    short = stack.submit("echo", {"text": "x", "delay_seconds": 1})
    until(lambda: stack.job(short)["state"] == "running", "the short job's start")

    worker.send(signal.SIGTERM)
    until(lambda: stack.outcomes(long), "its release")
    later = stack.submit("probe", {"action": "return"}, delay_seconds=3)

    assert 0 == worker.wait()
    assert ["succeeded"] == stack.outcomes(short)
    assert ["released"] == stack.outcomes(long)
    assert gone(child)
    stack.result(later)
    assert ("running", 2) == (stack.job(long)["state"], stack.job(long)["attempt"])
    stack.cancel(long)
    assert "cancelled" == stack.ended(long)["state"]


def test_a_cancel_reaches_a_job_while_its_worker_drains(stack: Stack) -> None:
    stack.environment["OFFLOAD_GRACE_SECONDS"] = "60"
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.probe("spin", seconds=LONG)
    stack.reports(job_id)

    worker.send(signal.SIGTERM)
    stack.cancel(job_id)

    assert "cancelled" == stack.ended(job_id)["state"]
    assert 0 == worker.wait()


@pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)
@pytest.mark.parametrize("task", ["probe-thread", "probe-event-loop"])
def test_a_cancel_reaches_a_job_on_a_thread_or_an_event_loop_while_its_worker_drains(stack: Stack, task: str) -> None:
    stack.environment["OFFLOAD_GRACE_SECONDS"] = str(LONG / 2)
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.submit(task, {"action": "sleep", "seconds": LONG})
    stack.reports(job_id)

    worker.send(signal.SIGTERM)
    until(lambda: worker.health("ready")[1]["draining"], "the drain")
    stack.cancel(job_id)

    assert "cancelled" == stack.ended(job_id)["state"]
    assert ["cancelled"] == stack.outcomes(job_id)
    assert 0 == worker.wait()


def test_idle_workers_take_jobs_while_another_is_busy(stack: Stack) -> None:
    stack.start_api()
    for _ in range(2):
        stack.start_worker("--queue", "probe", "--slots", "1")
    busy = stack.probe("spin", seconds=LONG)
    stack.reports(busy)

    for _ in range(20):
        stack.result(stack.probe("return"))

    assert "running" == stack.job(busy)["state"]
    stack.cancel(busy)
    stack.ended(busy)


class TestBroker:
    """Faults of RabbitMQ; on the combinations that have one."""

    pytestmark = pytest.mark.parametrize("stack", ["sqlite+rabbitmq", "postgresql+rabbitmq"], indirect=True)

    def test_while_the_broker_is_down_jobs_are_accepted_and_run_when_it_is_back(
        self, stack: Stack, servers: Servers
    ) -> None:
        stack.start_api()
        worker = stack.start_worker()
        stack.result(stack.submit("echo"))

        servers.rabbitmq.stop()
        job_ids = [stack.submit("echo", {"text": str(number)}) for number in range(10)]
        assert "ok" == stack.http.get("/health/ready").json()["store"]
        until(lambda: stack.http.get("/health/ready").json()["broker"] == "unreachable", "the broker seen as down")
        until(lambda: worker.health("ready")[0] == 503, "the worker to say so")
        assert 200 == worker.health("live")[0]
        servers.rabbitmq.start()

        assert [{"text": str(number)} for number in range(10)] == [stack.result(job_id) for job_id in job_ids]
        assert 1 == worker.log.read_text().count("is not available")

    def test_a_deleted_queue_costs_time_and_no_job(self, stack: Stack) -> None:
        stack.start_api()
        job_ids = [stack.submit("echo", {"text": str(number)}) for number in range(10)]
        with pika.BlockingConnection(pika.URLParameters(stack.broker_url)) as connection:
            channel = connection.channel()
            arguments = topology.queue_arguments("io")
            until(lambda: channel.queue_declare(**arguments).method.message_count, "the hints")
            channel.queue_delete(topology.queue_name("io"))

        stack.start_worker()

        assert [{"text": str(number)} for number in range(10)] == [stack.result(job_id) for job_id in job_ids]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\x80\x04pickle",
            b'{"queue_name":"foreign","actor_name":"run_job","args":[],"kwargs":{},"options":null}',
        ],
        ids=["empty", "binary", "null options"],
    )
    def test_a_bad_envelope_kills_nothing(self, stack: Stack, body: bytes) -> None:
        stack.start_api()
        worker = stack.start_worker("--slots", "2")
        with pika.BlockingConnection(pika.URLParameters(stack.broker_url)) as connection:
            for _ in range(5):
                connection.channel().basic_publish("", topology.queue_name("io"), body)

        worker.says("dropped a message from queue io")

        for _ in range(5):
            stack.result(stack.submit("echo"))

    def test_a_repeated_hint_runs_a_job_once(self, stack: Stack) -> None:
        stack.start_api()
        stack.start_worker()
        job_id = stack.submit("probe", {"action": "sleep", "seconds": 0.5})
        with pika.BlockingConnection(pika.URLParameters(stack.broker_url)) as connection:
            for _ in range(10):
                body = message.encode(Hint(job_id, "probe"))
                connection.channel().basic_publish("", topology.queue_name("probe"), body)

        assert 1 == stack.result(job_id)["attempt"]
        assert ["succeeded"] == stack.outcomes(job_id)


@pytest.mark.parametrize("stack", ["postgresql", "postgresql+rabbitmq"], indirect=True)
def test_a_store_that_is_away_for_a_while_loses_nothing(stack: Stack, servers: Servers) -> None:
    stack.start_api()
    worker = stack.start_worker()
    job_id = stack.probe("spin", seconds=2)
    stack.reports(job_id)
    assert (200, True) == (worker.health("ready")[0], worker.health("ready")[1]["store"])

    servers.postgresql.stop()
    answer = stack.http.post("/v1/jobs", json={"task": "echo", "payload": {}})
    assert 503 == answer.status_code
    assert "Retry-After" in answer.headers
    assert 503 == stack.http.get("/health/ready").status_code
    assert (503, False) == (worker.health("ready")[0], worker.health("ready")[1]["store"])
    assert 200 == worker.health("live")[0]
    servers.postgresql.start()

    until(lambda: stack.http.get("/health/ready").status_code == 200, "the store to be back")
    until(lambda: worker.health("ready")[0] == 200, "the worker to reach it")
    assert "succeeded" == stack.ended(job_id)["state"]
    stack.result(stack.submit("echo"))
