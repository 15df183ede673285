"""Simulates any number of seeds: `python -m tests.simulation --help`."""

import argparse
import sys

from tests.simulation import campaign
from tests.simulation.campaign import Summary, told
from tests.simulation.store import real_store
from tests.simulation.world import World

#: Violations shown in full.
MOST_TOLD = 3


def main() -> int:
    """Run what the command line asks for; returns 1 when an invariant was violated."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Runs the project's own store verbs, executor, lease keeper, watchdog, sweeper, relay and routes"
        " under simulated faults: crashes, pauses, lost and repeated hints, outages, clock jumps. A seed decides all"
        " that happens and replays exactly. Ends with 1 when an invariant is violated, having said which, where and how"
        " to replay it. docs/reliability.md describes the faults and the invariants.",
    )
    parser.add_argument("--seeds", type=_positive, default=200, metavar="N", help="how many seeds (default: 200)")
    parser.add_argument("--seed", type=_positive, default=1, metavar="FIRST", help="the first of them (default: 1)")
    parser.add_argument("--verbose", action="store_true", help="print the whole trace of each seed; for a single one")
    arguments = parser.parse_args()
    if arguments.verbose:
        return _tell_all(arguments.seed, arguments.seeds)
    summary = campaign.run(arguments.seed, arguments.seeds, progress=_progress)
    sys.stderr.write("\n")
    for verdict in summary.violations[:MOST_TOLD]:
        print(told(verdict), end="\n\n")
    if len(summary.violations) > MOST_TOLD:
        print("violated too:", ", ".join(f"seed {each.seed}" for each in summary.violations[MOST_TOLD:]), end="\n\n")
    print(summary)
    return 1 if summary.violations else 0


def _tell_all(first: int, seeds: int) -> int:
    violated = False
    for seed in range(first, first + seeds):
        world = World(seed, real_store())
        verdict = world.run()
        print(f"seed {seed}, {world.profile}", *world.lines(), sep="\n")
        print(f"violated: {verdict.violation}" if verdict.violation else "every invariant holds", end="\n\n")
        violated |= bool(verdict.violation)
    return 1 if violated else 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        msg = f"{text} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _progress(summary: Summary) -> None:
    if sys.stderr.isatty() or summary.seeds % 100 == 0:
        sys.stderr.write(f"\r{summary.seeds} seeds, {len(summary.violations)} violations, {summary.seconds:.0f} s ")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
