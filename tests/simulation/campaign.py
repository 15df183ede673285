"""Many seeds, spread over the processors."""

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.simulation.store import memory_folder
from tests.simulation.world import Verdict, simulate

#: So many seeds are given to a process at a time.
CHUNK = 5


@dataclass
class Summary:
    """What came of all seeds."""

    first_seed: int
    seeds: int = 0
    seconds: float = 0.0
    simulated_seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Take a seed in."""
        self.seeds += 1
        self.simulated_seconds += verdict.simulated_seconds
        self.counts.update(verdict.counts)
        if verdict.violation:
            self.violations.append(verdict)

    def __str__(self) -> str:
        rate = self.seeds / self.seconds if self.seconds else 0.0
        hours = self.simulated_seconds / 3600
        first = (
            f"{self.seeds} seeds from {self.first_seed} in {self.seconds:.1f} s: {rate:.1f} seeds/s;"
            f" {hours:.1f} simulated hours; {len(self.violations)} violations"
        )
        return "\n".join([first, *(f"  {self.counts[what]:8}  {what}" for what in sorted(self.counts))])


def told(verdict: Verdict) -> str:
    """Return all there is to say about a violation."""
    return (
        f"seed {verdict.seed}: this does not hold: {verdict.violation}\n{verdict.story}\n"
        f"replay it with: make simulate SEEDS=1 SEED={verdict.seed}"
    )


def run(first_seed: int, seeds: int, *, progress: Callable[[Summary], None] = lambda _: None) -> Summary:
    """Run seeds on every processor this process may use; the order they end in changes nothing."""
    summary, began = Summary(first_seed), time.monotonic()
    with _pool() as pool:
        for verdict in pool.imap_unordered(simulate, range(first_seed, first_seed + seeds), chunksize=CHUNK):
            summary.add(verdict)
            summary.seconds = time.monotonic() - began
            progress(summary)
    summary.violations.sort(key=lambda verdict: verdict.seed)
    return summary


@contextlib.contextmanager
def _pool() -> "Iterator[multiprocessing.pool.Pool]":
    processors = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    turns = context.Queue()
    for processor in processors:
        turns.put(processor)
    # One folder for all: it goes also when a process is killed.
    with tempfile.TemporaryDirectory(prefix="offload-simulation-", dir=memory_folder()) as folder:
        pool = context.Pool(len(processors), initializer=_begin, initargs=(turns, folder))
        try:
            yield pool
            pool.close()
        finally:
            pool.terminate()
            pool.join()
            turns.close()


def _begin(turns: "multiprocessing.Queue[int]", folder: str) -> None:
    # The threads of a seed take turns; on one processor they do so four times as fast as across two.
    os.sched_setaffinity(0, {turns.get()})
    tempfile.tempdir = folder
