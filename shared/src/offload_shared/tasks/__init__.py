"""The tasks both services know: ours, named here, and a team's own, found by entry point."""

from functools import cache
from importlib.metadata import entry_points

from offload_shared.errors import SettingsInvalid
from offload_shared.tasks.echo import ECHO
from offload_shared.tasks.fetch_urls import FETCH_URLS
from offload_shared.tasks.predict import PREDICT
from offload_shared.tasks.render_report import RENDER_REPORT
from offload_shared.tasks.send_email import SEND_EMAIL
from offload_shared.tasks.task import Task
from offload_shared.tasks.train_model import TRAIN_MODEL

SHIPPED = (ECHO, TRAIN_MODEL, PREDICT, RENDER_REPORT, FETCH_URLS, SEND_EMAIL)

#: Entry points of this group name a sequence of `Task`.
ENTRY_POINT_GROUP = "offload.tasks"


@cache
def registry() -> dict[str, Task]:
    """Return every task by its name; raises `SettingsInvalid` when two have the same."""
    tasks: dict[str, Task] = {}
    found = [task for point in entry_points(group=ENTRY_POINT_GROUP) for task in point.load()]
    for task in (*SHIPPED, *found):
        if task.name in tasks:
            msg = f"two tasks are named {task.name!r}; rename the one of your own package"
            raise SettingsInvalid(msg)
        tasks[task.name] = task
    return tasks


def queues() -> list[str]:
    """Return the names of the queues that the tasks use, in order."""
    return sorted({task.queue for task in registry().values()})
