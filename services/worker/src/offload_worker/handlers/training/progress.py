"""How far a training is: stages one after another, each with its share of the hundred percent."""

from collections.abc import Callable

from offload_worker.handle import JobHandle

#: Told how much of something is done, from 0 to 1, and in words.
Report = Callable[[float, str], None]


class Progress:
    """A job's progress, which never goes backwards."""

    def __init__(self, job: JobHandle) -> None:
        self._job = job
        self._percent = 0.0

    def stage(self, start: float, end: float, title: str) -> Report:
        """Begin what goes from `start` to `end` percent; returns what tells how much of it is done."""

        def report(share: float, detail: str = "") -> None:
            self._percent = max(self._percent, start + (end - start) * min(max(share, 0.0), 1.0))
            self._job.progress(round(self._percent, 1), f"{title}: {detail}" if detail else title)

        self._job.log(title)
        report(0.0)
        return report


def part(report: Report, place: int, count: int, title: str) -> Report:
    """Return what tells how much of one of `count` equal parts is done."""
    return lambda share, detail: report((place + share) / count, f"{title}, {detail}" if detail else title)
