"""Whose key a request carries, and how long an answer of the store is remembered."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from offload_api.access import Caller
from offload_api.keyring import MOST_REMEMBERED, REMEMBERED_SECONDS, Keyring
from offload_api.problems import Problem
from offload_shared.errors import StoreUnavailable
from offload_shared.ids import new_id
from offload_shared.keys import ApiKey, Scope, hashed, new_secret, written

NOW = datetime(2030, 1, 1, tzinfo=UTC)  # the store's clock, far from the process's


class Keys:
    """A store of keys, and a process's clock, both as the test has them."""

    def __init__(self) -> None:
        self.kept: dict[str, ApiKey] = {}
        self.asked: list[list[str]] = []
        self.away = False
        self.seconds = 1000.0
        self.ring = Keyring(self.find, clock=lambda: self.seconds)

    async def find(self, key_ids: Sequence[str]) -> dict[str, ApiKey]:
        if self.away:
            raise StoreUnavailable("away")
        self.asked.append(sorted(key_ids))
        return {key_id: self.kept[key_id] for key_id in key_ids if key_id in self.kept}

    def add(self, **changes: Any) -> tuple[str, str]:
        """Return a new key's id, and how it is written."""
        key_id, secret = new_id(), new_secret()
        values: dict[str, Any] = {"previous_sha256": None, "previous_until": None, "expires_at": None}
        self.kept[key_id] = ApiKey(
            id=key_id,
            tenant="a",
            name="",
            scopes=frozenset({Scope.READ}),
            secret_sha256=hashed(secret),
            created_at=NOW,
            revoked_at=None,
            now=NOW,
            **{**values, **changes},
        )
        return key_id, written(key_id, secret)

    def change(self, key_id: str, **changes: Any) -> None:
        self.kept[key_id] = replace(self.kept[key_id], **changes)

    def identify(self, *sent: str) -> Caller:
        return asyncio.run(self.ring.identify([each.encode() for each in sent]))

    def refuses(self, *sent: str) -> str:
        with pytest.raises(Problem) as caught:
            self.identify(*sent)
        assert (401, "/problems/unauthenticated") == (caught.value.details.status, caught.value.details.type)
        return caught.value.headers["WWW-Authenticate"]


def test_a_key_says_whose_it_is_and_what_it_allows() -> None:
    keys = Keys()
    key_id, key = keys.add()

    expected = Caller(tenant="a", key_id=key_id, scopes=frozenset({Scope.READ}))
    assert expected == keys.identify(f"Bearer {key}") == keys.identify(f"bearer  {key}")


def test_a_known_key_is_not_looked_up_again_for_some_seconds() -> None:
    keys = Keys()
    key_id, key = keys.add()
    for _ in range(3):
        keys.identify(f"Bearer {key}")

    keys.seconds += REMEMBERED_SECONDS
    keys.identify(f"Bearer {key}")

    assert [[key_id]] * 2 == keys.asked


def test_a_revoked_key_is_refused_as_soon_as_it_is_looked_up_again() -> None:
    keys = Keys()
    key_id, key = keys.add()
    keys.identify(f"Bearer {key}")
    keys.change(key_id, revoked_at=NOW)

    keys.seconds += REMEMBERED_SECONDS - 0.1
    keys.identify(f"Bearer {key}")
    keys.seconds += 0.1

    assert 'Bearer error="invalid_token"' == keys.refuses(f"Bearer {key}")


def test_a_key_that_was_changed_in_this_process_is_looked_up_at_once() -> None:
    keys = Keys()
    key_id, key = keys.add()
    keys.identify(f"Bearer {key}")
    keys.change(key_id, revoked_at=NOW)

    keys.ring.forget(key_id)

    keys.refuses(f"Bearer {key}")


def test_a_key_expires_to_the_moment_also_while_it_is_remembered() -> None:
    keys = Keys()
    _, key = keys.add(expires_at=NOW + timedelta(seconds=2))
    keys.identify(f"Bearer {key}")

    keys.seconds += 1.9
    keys.identify(f"Bearer {key}")
    keys.seconds += 0.1

    keys.refuses(f"Bearer {key}")


def test_the_secret_before_a_rotation_is_good_until_its_time_is_over() -> None:
    keys = Keys()
    old = new_secret()
    key_id, key = keys.add(previous_sha256=hashed(old), previous_until=NOW + timedelta(seconds=2))

    keys.identify(f"Bearer {written(key_id, old)}")
    keys.seconds += 2

    keys.refuses(f"Bearer {written(key_id, old)}")
    keys.identify(f"Bearer {key}")


def test_a_wrong_secret_of_a_known_key_is_refused_without_asking_the_store_again() -> None:
    keys = Keys()
    key_id, key = keys.add()
    keys.identify(f"Bearer {key}")

    for _ in range(3):
        keys.refuses(f"Bearer {written(key_id, new_secret())}")

    assert [[key_id]] == keys.asked


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer ofl_", "Basic {key}", "{key}", "Bearer {key}0", "Bearer {key} x"]
)
def test_what_is_no_key_is_refused_without_asking_the_store(sent: str) -> None:
    keys = Keys()
    _, key = keys.add()

    assert 'Bearer error="invalid_token"' == keys.refuses(sent.format(key=key))
    assert [] == keys.asked


def test_without_a_key_the_answer_says_nothing_of_a_mistake() -> None:
    assert "Bearer" == Keys().refuses()


def test_two_keys_at_once_are_refused() -> None:
    keys = Keys()
    _, key = keys.add()

    keys.refuses(f"Bearer {key}", f"Bearer {key}")


def test_made_up_ids_neither_fill_the_memory_nor_push_out_the_keys_there_are() -> None:
    keys = Keys()
    key_id, key = keys.add()
    keys.identify(f"Bearer {key}")

    async def flood() -> None:
        for _ in range(MOST_REMEMBERED + 10):
            with pytest.raises(Problem):
                await keys.ring.identify([f"Bearer {written(new_id(), new_secret())}".encode()])

    asyncio.run(flood())

    assert len(keys.ring._known) + len(keys.ring._refused) <= MOST_REMEMBERED + 1
    keys.identify(f"Bearer {key}")
    assert 1 == keys.asked.count([key_id])


def test_an_id_that_is_no_keys_is_not_looked_up_again_for_some_seconds() -> None:
    keys = Keys()
    nobodys = new_id()
    for _ in range(3):
        keys.refuses(f"Bearer {written(nobodys, new_secret())}")

    keys.seconds += REMEMBERED_SECONDS
    keys.refuses(f"Bearer {written(nobodys, new_secret())}")

    assert [[nobodys]] * 2 == keys.asked


def test_while_the_store_is_away_a_key_is_good_for_as_long_as_it_is_remembered() -> None:
    keys = Keys()
    _, key = keys.add()
    keys.identify(f"Bearer {key}")
    keys.away = True

    keys.identify(f"Bearer {key}")
    keys.seconds += REMEMBERED_SECONDS

    with pytest.raises(StoreUnavailable):
        keys.identify(f"Bearer {key}")
