"""Computes on threads of one Python process and prints how many seconds that took. Its own program."""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.latency.work import compute


def main() -> None:
    """Do the jobs that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency.threads", description="Computes on threads.")
    parser.add_argument("kind", choices=["python", "c"], help="the kind of work")
    parser.add_argument("amount", type=int, help="iterations of each job")
    parser.add_argument("jobs", type=int, help="how many jobs to do")
    parser.add_argument("threads", type=int, help="how many of them at once")
    wanted = parser.parse_args()
    with ThreadPoolExecutor(wanted.threads) as threads:
        started = time.monotonic()
        for each in [threads.submit(compute, wanted.kind, wanted.amount) for _ in range(wanted.jobs)]:
            each.result()
        print(time.monotonic() - started)


if __name__ == "__main__":
    main()
