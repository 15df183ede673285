"""The sweeper's thread in a worker; every API instance runs the same sweeper too."""

import threading

from offload_shared.store.sweeper import Sweeper


class SweeperThread:
    """Sweeps the store at an interval."""

    def __init__(self, sweeper: Sweeper, seconds: float) -> None:
        self._sweeper = sweeper
        self._seconds = seconds
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def end(self) -> None:
        """End."""
        self._ended.set()
        self.thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._sweeper.sweep()
