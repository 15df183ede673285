"""How deliveries are listed, on each kind of store."""

from typing import Any

import pytest
from sqlalchemy import event, insert, text

from offload_shared.ids import new_id
from offload_shared.store import deliveries
from offload_shared.store.clock import clock
from offload_shared.store.database import Database
from offload_shared.store.deliveries import WantedDeliveries
from offload_shared.store.schema import delivery
from offload_shared.webhook import DeliveryState, EventType


def add(database: Database, number: int, state: DeliveryState, webhook_id: str | None) -> None:
    """Add deliveries that stand so, with no more behind them than their log."""
    row = {
        "tenant": "",
        "webhook_id": webhook_id,
        "url": None if webhook_id else "https://a.example/",
        "target": webhook_id or "callbacks:a",
        "event": EventType.SUCCEEDED,
        "state": state,
        "attempt": 1,
        "failures": 0,
        "tries": "[]",
    }
    moments = {"created_at": clock(), "due_at": clock()}
    if state is not DeliveryState.PENDING:
        moments["finished_at"] = clock()
    rows = [{**row, "id": new_id(), "job_id": new_id()} for _ in range(number)]
    database.write(lambda connection: connection.execute(insert(delivery).values(moments), rows))


def plan_of_page(database: Database, wanted: WantedDeliveries) -> str:
    """Return how the store looks for a page."""
    asked = list[tuple[str, Any]]()

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", note)
    deliveries.page(database, wanted, size=50)
    event.remove(database._engine, "before_cursor_execute", note)
    [(statement, parameters)] = asked
    explain = "EXPLAIN QUERY PLAN" if database.sqlite else "EXPLAIN"
    return database.read(
        lambda connection: "\n".join(
            str(row) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)
        )
    )


WITHOUT_WHAT_IS_DELIVERED = ("ix_delivery_undelivered", "ix_delivery_due_at", "ix_delivery_target_due_at")


@pytest.mark.parametrize("webhook_id", ["a" * 32, None])
@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.FAILED])
def test_what_is_not_delivered_is_listed_without_a_look_at_all_that_is(
    database: Database, webhook_id: str | None, state: DeliveryState
) -> None:
    add(database, 5, state, webhook_id)
    add(database, 5000, DeliveryState.DELIVERED, webhook_id)
    database.write(lambda connection: connection.execute(text("ANALYZE")))

    wanted = WantedDeliveries(webhook_id=webhook_id, state=state)

    plan = plan_of_page(database, wanted)
    assert any(index in plan for index in WITHOUT_WHAT_IS_DELIVERED)
    assert 5 == len(deliveries.page(database, wanted, size=50))
