"""The times of schedules: cron expressions on the clocks of time zones."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from offload_api.recurrence import NICKNAMES, RecurrenceInvalid, next_time, require_cron, require_zone, zones

BERLIN, HAVANA = "Europe/Berlin", "America/Havana"


def times(cron: str, timezone: str, after: str, count: int = 3) -> list[str]:
    """Return the next times as the clock of the zone shows them, with its distance from UTC."""
    zone = ZoneInfo(timezone)
    moment = datetime.fromisoformat(after)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    found = []
    for _ in range(count):
        later = next_time(cron, timezone, moment.astimezone(UTC))
        assert later is not None
        assert later > moment
        assert later.tzinfo is UTC
        moment = later
        found.append(later.astimezone(zone).isoformat(timespec="minutes"))
    return found


def test_a_time_is_always_after_the_one_it_follows() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)

    assert datetime(2026, 1, 1, 12, 1, tzinfo=UTC) == next_time("* * * * *", "UTC", noon)
    assert datetime(2026, 1, 2, 12, tzinfo=UTC) == next_time("0 12 * * *", "UTC", noon)
    assert noon == next_time("0 12 * * *", "UTC", noon.replace(hour=11, minute=59, second=59, microsecond=999_999))


@pytest.mark.parametrize(
    ("cron", "timezone", "expected"),
    [
        ("30 7 * * MON-FRI", BERLIN, ["2026-01-02T07:30+01:00", "2026-01-05T07:30+01:00"]),
        ("0 0 1 * *", "Asia/Kolkata", ["2026-02-01T00:00+05:30", "2026-03-01T00:00+05:30"]),
        ("0 12 29 2 *", "UTC", ["2028-02-29T12:00+00:00", "2032-02-29T12:00+00:00"]),
        ("0 0 13 * 5", "UTC", ["2026-01-02T00:00+00:00", "2026-01-09T00:00+00:00"]),  # either day will do
        ("*/20 * * * *", "UTC", ["2026-01-01T13:00+00:00", "2026-01-01T13:20+00:00"]),
    ],
)
def test_times_are_those_of_the_zones_own_clock(cron: str, timezone: str, expected: list[str]) -> None:
    assert expected == times(cron, timezone, "2026-01-01T12:40:00+00:00", 2)


@pytest.mark.parametrize("nickname", NICKNAMES)
def test_a_nickname_means_its_expression(nickname: str) -> None:
    after = datetime(2026, 5, 5, 5, 5, tzinfo=UTC)

    assert next_time(NICKNAMES[nickname], BERLIN, after) == next_time(nickname, BERLIN, after)


class TestAClockPutForward:
    """In Berlin on 2026-03-29 it is 03:00 after 01:59; in Havana on 2026-03-08 it is 01:00 after 23:59."""

    def test_a_fixed_time_that_is_left_out_is_moved_to_where_the_clock_goes_on(self) -> None:
        expected = ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
        assert expected == times("30 2 * * *", BERLIN, "2026-03-28T00:00")

        midnights = ["2026-03-07T00:00-05:00", "2026-03-08T01:00-04:00", "2026-03-09T00:00-04:00"]
        assert midnights == times("@daily", HAVANA, "2026-03-06T12:00")

    def test_times_that_are_moved_to_one_moment_are_one(self) -> None:
        expected = ["2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00", "2026-03-30T02:00+02:00"]

        assert expected == times("0,30 2,3 * * *", BERLIN, "2026-03-29T01:00")

    def test_of_a_star_what_is_left_out_does_not_come(self) -> None:
        assert ["2026-03-30T02:00+02:00"] == times("*/30 2 * * *", BERLIN, "2026-03-28T02:40", 1)
        expected = ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]
        assert expected == times("*/30 * * * *", BERLIN, "2026-03-29T01:00")


class TestAClockPutBack:
    """In Berlin on 2026-10-25 it is 02:00 again after 02:59."""

    def test_a_fixed_time_that_comes_twice_counts_the_first_time(self) -> None:
        expected = ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]

        assert expected == times("30 2 * * *", BERLIN, "2026-10-25T00:00", 2)

    @pytest.mark.parametrize("inside", ["2026-10-25T02:15+01:00", "2026-10-25T02:45+02:00", "2026-10-25T02:45+01:00"])
    def test_a_fixed_time_does_not_come_again_in_the_repeated_hour(self, inside: str) -> None:
        assert ["2026-10-26T02:30+01:00"] == times("30 2 * * *", BERLIN, inside, 1)

    def test_of_a_star_what_comes_twice_comes_twice(self) -> None:
        expected = [
            "2026-10-25T02:00+02:00",
            "2026-10-25T02:30+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T02:30+01:00",
            "2026-10-25T03:00+01:00",
        ]

        assert expected == times("*/30 * * * *", BERLIN, "2026-10-25T01:30", 5)


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "1,,2 * * * *",
        "* * * * MON#6",
        "L * * * *",
        "\u0661 * * * *",
        "@reboot",
        "@Daily",
        "@",
    ],
)
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(RecurrenceInvalid) as caught:
        require_cron(cron)

    assert "never" not in str(caught.value)


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 31 4,6 *"])
def test_a_day_that_no_month_has_is_told_from_what_is_no_day(cron: str) -> None:
    with pytest.raises(RecurrenceInvalid, match="never comes"):
        require_cron(cron)


def test_days_that_are_sound_each_and_never_meet_have_no_next_time() -> None:
    assert next_time("0 0 */31 * MON#5", "UTC", datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "timezone", ["", "Mars/Olympus", "europe/berlin", "Europe", "../etc/passwd", "/etc/localtime", "right/UTC", "UTC\0"]
)
def test_what_is_no_time_zone_is_refused(timezone: str) -> None:
    with pytest.raises(RecurrenceInvalid, match="IANA"):
        require_zone(timezone)


def test_every_time_zone_there_is_can_be_used() -> None:
    after = datetime(2026, 6, 1, tzinfo=UTC)

    assert {BERLIN, HAVANA, "UTC", "Pacific/Apia"} <= zones()
    assert all(next_time("@hourly", each, after) for each in zones())
