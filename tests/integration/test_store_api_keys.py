"""API keys in each kind of store."""

from sqlalchemy import select

from offload_shared.keys import ApiKey, Scope, hashed, taken_apart
from offload_shared.store import api_keys
from offload_shared.store.api_keys import WantedKeys
from offload_shared.store.database import Database
from offload_shared.store.schema import api_key as table

READ = frozenset({Scope.READ})


def secret_of(written: str) -> str:
    apart = taken_apart(written)
    assert apart is not None
    return apart[1]


def listed(database: Database, tenant: str | None) -> list[ApiKey]:
    return api_keys.page(database, WantedKeys(tenant=tenant), size=10)


def test_of_a_key_nothing_is_stored_but_a_hash(database: Database) -> None:
    key, written = api_keys.create(database, tenant="a", name="ci", scopes=READ)

    [row] = database.read(lambda connection: connection.execute(select(table)).all())
    assert hashed(secret_of(written)) == key.secret_sha256
    assert secret_of(written) not in repr(row)
    assert (key.id, "a", "ci", READ) == (key.id, key.tenant, key.name, key.scopes)
    assert {key.id: key.secret_sha256} == {k: v.secret_sha256 for k, v in api_keys.find(database, [key.id]).items()}


def test_a_rotated_key_keeps_its_id_and_its_last_secret_for_a_while(database: Database) -> None:
    key, first = api_keys.create(database, tenant="a", name="", scopes=READ)

    rotated = api_keys.rotate(database, key.id, tenant="a", overlap_seconds=60)

    assert rotated is not None
    again, second = rotated
    assert key.id == again.id
    assert (hashed(secret_of(second)), hashed(secret_of(first))) == (again.secret_sha256, again.previous_sha256)
    assert again.previous_until is not None
    assert 59 < (again.previous_until - again.now).total_seconds() <= 60


def test_what_is_revoked_or_expired_is_not_rotated(database: Database) -> None:
    revoked, _ = api_keys.create(database, tenant="a", name="", scopes=READ)
    expired, _ = api_keys.create(database, tenant="a", name="", scopes=READ, expires_in_seconds=-1)

    assert api_keys.revoke(database, revoked.id, tenant="a")

    assert api_keys.rotate(database, revoked.id, tenant="a", overlap_seconds=60) is None
    assert api_keys.rotate(database, expired.id, tenant="a", overlap_seconds=60) is None


def test_revoking_again_changes_nothing(database: Database) -> None:
    key, _ = api_keys.create(database, tenant="a", name="", scopes=READ)

    assert api_keys.revoke(database, key.id, tenant="a")
    [first] = listed(database, "a")
    assert api_keys.revoke(database, key.id, tenant=None)

    assert first.revoked_at is not None
    assert first.revoked_at == listed(database, "a")[0].revoked_at


def test_a_tenant_reaches_no_key_of_another(database: Database) -> None:
    mine, _ = api_keys.create(database, tenant="a", name="", scopes=READ)
    other, _ = api_keys.create(database, tenant="b", name="", scopes=READ)

    assert not api_keys.revoke(database, other.id, tenant="a")
    assert api_keys.rotate(database, other.id, tenant="a", overlap_seconds=0) is None
    assert [mine.id] == [key.id for key in listed(database, "a")]
    assert [other.id, mine.id] == [key.id for key in listed(database, None)]
