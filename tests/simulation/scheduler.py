"""Runs the simulated processes: one thing at a time, in an order and at times that the seed decides.

The code under test is synchronous and blocks anywhere, so each simulated thread has a real one as its stack. They hand
one baton on: whoever blocks picks the next event and wakes its thread, so exactly one of them runs at any moment.
"""

import heapq
import random
import threading
from collections.abc import Callable


class Crashed(BaseException):
    """The process this code runs in is gone: nothing may catch this and go on."""


class Process:
    """A simulated operating system process: it can be killed, and kept from running for a while."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.cut_until = 0.0  # from the store

    def __repr__(self) -> str:
        return self.name


class Signal:
    """What simulated threads wait for."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self._scheduler = scheduler
        self._waiting: list[tuple[Task, int]] = []

    def wait(self, seconds: float) -> None:
        """Block until notified, at most so long."""
        task = self._scheduler.current
        self._waiting.append((task, task.turn))
        self._scheduler.sleep(seconds)

    def notify(self) -> None:
        """Wake all who wait."""
        waiting, self._waiting = self._waiting, []
        for task, turn in waiting:
            self._scheduler.wake(task, turn)


class Event:
    """As `threading.Event`, in simulated time."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self._scheduler = scheduler
        self._signal = Signal(scheduler)
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._signal.notify()

    def wait(self, seconds: float) -> bool:
        end = self._scheduler.now + seconds
        while not self._set and self._scheduler.now < end:
            self._signal.wait(end - self._scheduler.now)
        return self._set


class Task:
    """A simulated thread of a process."""

    def __init__(self, number: int, process: Process, work: Callable[[], object]) -> None:
        self.number = number
        self.process = process
        self.work = work
        self.turn = 0  # raised each time it runs: what would wake an earlier turn is stale
        self.stack: _Stack | None = None
        self.done = False


class _Stack:
    """A real thread, lent to one task after another."""

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.run: Callable[[], None] = lambda: None
        threading.Thread(target=self._serve, daemon=True, name="simulated").start()

    def _serve(self) -> None:
        while True:
            self.baton.acquire()
            self.run()


#: Kept from seed to seed: a thread is dear to start.
_idle: list[_Stack] = []


class Scheduler:
    """Simulated time, and all that is to happen in it."""

    def __init__(self, rng: random.Random, on_failure: Callable[[Process, BaseException], None]) -> None:
        self.now = 0.0
        self._rng = rng
        self._on_failure = on_failure  # told what a simulated thread raised and nobody caught
        self._events: list[tuple[float, int, Callable[[], None] | Task, int]] = []
        self._count = 0
        self._tasks: list[Task] = []
        self._current: Task | None = None
        self._main = threading.Lock()
        self._main.acquire()
        self._ended = False

    @property
    def current(self) -> Task:
        """The simulated thread that runs now."""
        if self._current is None:
            msg = "only a simulated thread can wait"
            raise RuntimeError(msg)
        return self._current

    def at(self, time: float, what: Callable[[], None]) -> None:
        """Call `what`, which must not block, at a time."""
        self._push(time, what, 0)

    def spawn(self, process: Process, work: Callable[[], object], *, after: float = 0.0) -> None:
        """Start a thread of a process."""
        task = Task(len(self._tasks), process, work)
        self._tasks.append(task)
        self._push(self.now + after, task, task.turn)

    def wake(self, task: Task, turn: int) -> None:
        """Let a waiting thread go on, unless it has since."""
        # Not drawn: the code under test may wake several in the order of a set, which differs between Python processes.
        self._push(self.now + task.number * 0.618 % 1 * 0.002, task, turn)

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass for the thread that runs now; raises `Crashed` when its process is gone."""
        task = self.current
        self.check()
        self._push(self.now + seconds, task, task.turn)
        following = self._next()
        if following is not task:
            self._hand_on(following)
            assert task.stack is not None
            task.stack.baton.acquire()
        self.check()

    def check(self) -> None:
        """Raise `Crashed` when the process of the thread that runs now is gone."""
        if self._ended or not self.current.process.alive:
            raise Crashed

    def run(self) -> None:
        """Run until `stop` is called or nothing is left to happen; then end every thread."""
        self._hand_on_from_outside(self._next())
        self._ended = True
        for task in self._tasks:
            if not task.done and task.stack is not None:
                self._hand_on_from_outside(task)
        self._events.clear()

    def stop(self) -> None:
        """Let nothing further happen."""
        self._ended = True

    def _push(self, time: float, what: Callable[[], None] | Task, turn: int) -> None:
        self._count += 1
        heapq.heappush(self._events, (max(time, self.now), self._count, what, turn))

    def _next(self) -> Task | None:
        while self._events and not self._ended:
            time, _, what, turn = heapq.heappop(self._events)
            if not isinstance(what, Task):
                self.now = time
                self._call(what)
            elif not what.done and turn == what.turn:
                if what.process.alive and what.process.frozen_until > time:
                    self._push(what.process.frozen_until + self._rng.random() * 0.01, what, turn)
                elif what.stack is None and not what.process.alive:
                    what.done = True
                else:
                    self.now = time
                    what.turn += 1
                    return what
        return None

    def _call(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001 - it would end the wrong thread
            self._on_failure(Process("the scheduler"), error)
            self.stop()

    def _hand_on_from_outside(self, task: Task | None) -> None:
        if task is not None:
            self._hand_on(task)
            self._main.acquire()

    def _hand_on(self, task: Task | None) -> None:
        self._current = task
        if task is None:
            self._main.release()
            return
        if task.stack is None:
            task.stack = _idle.pop() if _idle else _Stack()
            task.stack.run = lambda: self._run(task)
        task.stack.baton.release()

    def _run(self, task: Task) -> None:
        try:
            task.work()
        except Crashed:
            pass
        except BaseException as error:  # noqa: BLE001 - the checker is to know of it
            self._on_failure(task.process, error)
        task.done = True
        assert task.stack is not None
        _idle.append(task.stack)
        # In the end the threads are handed the baton one by one, to unwind.
        self._hand_on(None if self._ended else self._next())
