"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cells of a run, and their sizes."""

    rounds: int  # how often each cell is measured
    job_seconds: float  # of one job while latency is measured, alone on a core
    window_seconds: (
        float  # the least time for which a cell's latency is measured: 1,000 requests, for a 99th percentile
    )
    jobs: tuple[int, ...]  # how many run at once while latency is measured
    parallel_job_seconds: float  # of one job while throughput is measured, alone on a core
    parallel_jobs: int  # done in each cell of throughput
    parallel: tuple[int, ...]  # numbers of threads and of processes


def full(rounds: int) -> Plan:
    """Return the plan whose figures are worth showing."""
    return Plan(
        rounds=rounds,
        job_seconds=1.0,
        window_seconds=7.0,
        jobs=(0, 1, 2, 4, 8),
        parallel_job_seconds=0.4,
        parallel_jobs=8,
        parallel=(1, 2, 4, 8),
    )


def quick() -> Plan:
    """Return a plan that only shows that the benchmark works."""
    return Plan(
        rounds=1,
        job_seconds=0.2,
        window_seconds=0.5,
        jobs=(0, 1, 2),
        parallel_job_seconds=0.1,
        parallel_jobs=4,
        parallel=(1, 2),
    )
