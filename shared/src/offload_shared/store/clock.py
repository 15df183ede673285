"""The store's clock as SQL: the only clock that stored times are compared with.

`clock(seconds)` is the moment itself and is for setting times: a statement may have waited for a lock since it began.
`now()` is the transaction's start and is for conditions: being stable, it can be looked up in an index.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Dialect, Float, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement, literal

#: How SQLite keeps a time: text that sorts as the times do.
SQLITE_FORMAT = "%Y-%m-%d %H:%M:%S.%f"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which has no type for it, gives it back without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC, so that SQLite's text compares as time does."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Restore the zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class clock(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The moment, `seconds` from now (negative: ago)."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[Any] = 0.0) -> None:
        super().__init__(literal(seconds, Float) if isinstance(seconds, int | float) else seconds)


class now(FunctionElement[datetime]):  # noqa: N801
    """The moment the transaction began."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(clock, "postgresql")
def _clock_postgresql(element: clock, compiler: Any, **keywords: Any) -> str:
    seconds = compiler.process(element.clauses, **keywords)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(clock, "sqlite")
def _clock_sqlite(element: clock, compiler: Any, **keywords: Any) -> str:
    return f"offload_clock({compiler.process(element.clauses, **keywords)})"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: Any, **keywords: Any) -> str:  # noqa: ARG001
    return "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **keywords: Any) -> str:  # noqa: ARG001
    return "offload_clock(0)"
