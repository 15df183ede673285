"""What a run can be told."""

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The measure of a run; the seed decides everything else, as far as real processes can be decided."""

    seed: int
    seconds: float = 600.0
    rate: float = 10.0  # jobs a second
    lease_seconds: float = 30.0
    workers: int = 2  # of each queue
    overlap: float = 0.2  # how often a second fault joins the first
    only: tuple[str, ...] = ()  # faults by name; empty: all
    hold_seconds: float | None = None  # of every fault; None: each kind's own, at random

    @property
    def longest_job_seconds(self) -> float:
        """How long a job of the load may work: minutes in a long run, and never so long that a short one waits."""
        return max(5.0, self.seconds / 6)

    @property
    def patience_seconds(self) -> float:
        """How long after the last submit every job must have ended: far longer than the protocol ever needs."""
        return 90.0 + self.longest_job_seconds + 4 * self.lease_seconds
