"""What failpoints have found, each on the smallest set of services that shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack, gone, until

LONG = 100_000


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path, "", "")
    (tmp_path / "failpoints").mkdir()
    made.environment["OFFLOAD_FAILPOINTS"] = str(tmp_path / "failpoints")
    yield made
    made.close()


def test_a_child_ends_with_its_attempt_also_when_the_worker_itself_failed(stack: Stack) -> None:
    stack.start_api()
    worker = stack.start_worker("--queue", "probe", "--slots", "1")
    until(lambda: len(worker.children()) == 2, "the guardian and a child")
    before = worker.children()
    (stack.folder / "failpoints" / "started").write_text("raise")

    job_id = stack.probe("spin", seconds=LONG)

    until(lambda: any(gone(pid) for pid in before), "the end of the child that nobody listens to")
    stack.cancel(job_id)
    assert "cancelled" == stack.ended(job_id)["state"]
    assert "error" == stack.outcomes(job_id)[0]
