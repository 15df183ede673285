"""Claims about `make demo`, `make demo-flow` and `make up`, what a newcomer runs first."""

import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.acceptance.conftest import EMBEDDED_AND_WHOLE
from tests.acceptance.stack import Stack, until

ROOT = Path(__file__).parents[2]

embedded_and_whole = pytest.mark.parametrize("stack", EMBEDDED_AND_WHOLE, indirect=True)


class Program:
    """A program of the demo in a folder of its own, and all that it starts."""

    def __init__(self, module: str, stack: Stack) -> None:
        self.log = stack.folder / "log"
        self._seen: set[psutil.Process] = set()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=stack.folder,
                env={**stack.environment, "PYTHONPATH": str(ROOT), "OFFLOAD_PORT": "0", "COLUMNS": "200"},
                stdout=log,
                stderr=log,
            )

    def look(self) -> bool:
        """Remember what runs now; returns whether the program has ended."""
        if self.process.poll() is None:
            self._seen.update(psutil.Process(self.process.pid).children(recursive=True))
        return self.process.poll() is not None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def left(self) -> list[psutil.Process]:
        """Return what the program has started and left running."""
        assert self._seen
        return [each for each in self._seen if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@embedded_and_whole
def test_the_flow_trains_predicts_reports_and_mails_both_and_leaves_nothing_running(stack: Stack) -> None:
    demo = Program("demo.flow", stack)
    until(demo.look, "the end of the demo", seconds=300)

    assert 0 == demo.process.returncode, demo.said()
    assert 4 == demo.said().count(" succeeded "), demo.said()
    for words in ("% accurate", "297 new digits", "report.pdf", "predictions.csv"):
        assert words in demo.said()
    assert [] == demo.left()


@embedded_and_whole
def test_the_demo_trains_measures_cancels_and_leaves_nothing_running(stack: Stack) -> None:
    demo = Program("demo", stack)
    until(demo.look, "the end of the demo", seconds=300)

    assert 0 == demo.process.returncode, demo.said()
    for words in ("100 %  succeeded", "accuracy 0.9", "model.onnx", "p99", "the job was cancelled", "is gone"):
        assert words in demo.said()
    assert [] == demo.left()


@embedded_and_whole
def test_up_keeps_both_services_running_at_the_address_it_prints_until_ctrl_c(stack: Stack) -> None:
    up = Program("demo.up", stack)
    until(lambda: up.look() or "Ctrl-C ends both" in up.said(), "an address", seconds=120)
    url = up.said().split("Offload's API: ")[1].split()[0]
    answer = httpx2.post(f"{url}/v1/jobs", json={"task": "echo", "payload": {"text": "hello"}}).raise_for_status()
    result = httpx2.get(f"{url}/v1/jobs/{answer.json()['id']}/result", headers={"Prefer": "wait=30"}, timeout=60)
    assert {"text": "hello"} == result.json()
    up.look()
    up.process.send_signal(signal.SIGINT)

    assert 0 == up.process.wait(60), up.said()
    assert [] == up.left()
