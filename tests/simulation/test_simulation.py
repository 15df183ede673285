"""The protocol under simulated faults: its rules hold on every seed, and a seed tells the same story each time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import campaign
from tests.simulation.world import simulate

SEEDS = 2000
ROOT = Path(__file__).parents[2]

DIGESTS = "from tests.simulation.world import simulate\nfor seed in range(1, 13): print(simulate(seed).digest)"


@pytest.mark.timeout(1800)
def test_every_invariant_holds_on_every_seed() -> None:
    summary = campaign.run(1, SEEDS)

    assert not summary.violations, "\n\n".join(campaign.told(verdict) for verdict in summary.violations[:3])
    assert (SEEDS, 0) == (summary.seeds, summary.counts["lost"])
    for fault in ("freeze", "clock jump", "broker lost everything", "commit unknown, written", "stale end refused"):
        assert summary.counts[fault] > 0, fault


def test_a_seed_replays_exactly_also_where_sets_have_another_order() -> None:
    stories = [_digests(hash_seed) for hash_seed in ("1", "2")]

    assert stories[0] == stories[1]
    assert 12 == len(set(stories[0]))


def test_a_seed_replays_exactly_after_others() -> None:
    first = simulate(1).digest
    simulate(2)

    assert first == simulate(1).digest


def _digests(hash_seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", DIGESTS]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    return ended.stdout.split()
