"""When a schedule's times are: cron expressions on the wall clocks of time zones.

Where a zone's clock is put forward or back, times are those of Debian's cron. A fixed time that the clock leaves out is
moved to where it goes on, and one that comes twice counts the first time. Where the minute or the hour begins with a
star, the expression says which times of the clock are meant, as often as it shows them.
"""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LONGEST_CRON = 100
LONGEST_ZONE = 64

FIELDS = 5
#: Names for what is asked for most.
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
NEVER = "never comes"

_ANY_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


class RecurrenceInvalid(Exception):  # noqa: N818
    """A cron expression or a time zone cannot be used; the message says why."""


def require_cron(cron: str) -> None:
    """Raise `RecurrenceInvalid` for what is no cron expression, or for one that no day can match."""
    if cron.startswith("@"):
        if cron not in NICKNAMES:
            raise RecurrenceInvalid(f"is none of {', '.join(NICKNAMES)}")
        return
    fields = cron.split()
    if len(fields) != FIELDS:  # the library would take six, with seconds
        raise RecurrenceInvalid(f"needs {FIELDS} fields: minute, hour, day of month, month, day of week")
    try:
        CronSim(cron, _ANY_MOMENT)
    except CronSimError as error:
        raise RecurrenceInvalid(NEVER if _is_each_sound(fields) else _words(error)) from None


def require_zone(timezone: str) -> None:
    """Raise `RecurrenceInvalid` for what is no name of a time zone."""
    if timezone not in zones():
        raise RecurrenceInvalid("is no name of the IANA time zone database, such as `Europe/Berlin`")


@cache
def zones() -> frozenset[str]:
    """Return the names of all time zones: those of the package that we bring, whatever else this machine has."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}


def next_time(cron: str, timezone: str, after: datetime) -> datetime | None:
    """Return the first time after a moment, in UTC; None when none comes within 50 years.

    Raises `RecurrenceInvalid`.
    """
    require_zone(timezone)
    require_cron(cron)
    zone = ZoneInfo(timezone)
    for found in CronSim(NICKNAMES.get(cron, cron), after.astimezone(zone)):
        moment = found.astimezone(UTC)
        if moment > after:  # inside a repeated hour, what comes next on the clock may have been the first time already
            return moment
    return None


def _is_each_sound(fields: list[str]) -> bool:
    try:
        for index, field in enumerate(fields):
            CronSim(" ".join(["*"] * index + [field] + ["*"] * (FIELDS - index - 1)), _ANY_MOMENT)
    except CronSimError:
        return False
    return True


def _words(error: CronSimError) -> str:
    # "Bad minute" and the like.
    return f"is no cron expression: {str(error)[:1].lower()}{str(error)[1:]}"
