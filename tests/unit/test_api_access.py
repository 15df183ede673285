"""Every route says what it asks of its caller, and the OpenAPI document says the same."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar, get
from openapi_spec_validator import validate

from offload_api import access
from offload_api.access import Caller, Need
from offload_api.app import create_app
from offload_api.openapi.document import document
from offload_api.problems import Problem
from offload_api.services import Services, assemble
from offload_api.settings import ApiSettings
from offload_shared.artifacts import Artifacts
from offload_shared.keys import Scope
from offload_shared.store.database import Database
from offload_shared.tasks import registry

#: Addresses that anybody may ask, in every case.
ASKED_BY_ANYBODY = {
    *("/", "/docs", "/docs/{name}", "/schema/openapi.json"),
    *("/health/live", "/health/ready", "/metrics"),
}


def services(folder: Path, **settings: Any) -> Services:
    database = Database(f"sqlite:///{folder / 'offload.db'}")
    return assemble(ApiSettings(**settings), registry(), database, Artifacts(folder.as_uri()), None)


def test_every_route_says_what_it_needs_and_few_need_nothing(tmp_path: Path) -> None:
    declared = access.declared(create_app(services(tmp_path)))

    assert {path for (path, _), need in declared.items() if need is None} == ASKED_BY_ANYBODY
    assert Need(Scope.SUBMIT) == declared["/v1/jobs", "post"]
    assert Need(Scope.READ) == declared["/v1/jobs", "get"]
    assert Need(Scope.CANCEL) == declared["/v1/jobs/{job_id}", "delete"]
    assert Need(Scope.ADMIN) == declared["/v1/keys", "post"]
    assert Need(Scope.SUBMIT) == declared["/v1/schedules", "post"] == declared["/v1/schedules/{schedule_id}", "patch"]
    assert Need(Scope.CANCEL) == declared["/v1/schedules/{schedule_id}", "delete"]
    for operators in (("/v1/queues", "get"), ("/v1/queues/{name}/pause", "post"), ("/v1/workers", "get")):
        assert Need(Scope.ADMIN, operator=True) == declared[operators]


def test_a_route_that_does_not_say_what_it_needs_is_found_at_the_start() -> None:
    @get("/forgotten")
    async def forgotten() -> None: ...

    with pytest.raises(LookupError, match="GET /forgotten does not say what it needs"):
        access.declared(Litestar([forgotten], openapi_config=None))


def test_what_a_route_changes_needs_more_than_to_read(tmp_path: Path) -> None:
    declared = access.declared(create_app(services(tmp_path)))

    assert not [key for key, need in declared.items() if key[1] not in ("get", "head") and need == Need(Scope.READ)]


def test_what_is_an_operators_takes_an_administrator_of_the_default_tenant() -> None:
    operators = Need(Scope.ADMIN, operator=True)

    access.require(operators, Caller(scopes=frozenset({Scope.ADMIN})))
    for caller in (Caller(tenant="a"), Caller(scopes=frozenset({Scope.READ}))):
        with pytest.raises(Problem) as caught:
            access.require(operators, caller)
        assert 403 == caught.value.details.status


KEY, TOKEN = {"type": "http", "scheme": "bearer"}, {"type": "openIdConnect"}


@pytest.mark.parametrize(
    ("auth", "schemes"),
    [
        ("loopback", {"key": KEY}),
        ("keys", {"key": KEY}),
        ("jwt", {"token": TOKEN}),
        ("keys+jwt", {"key": KEY, "token": TOKEN}),
    ],
)
def test_the_document_names_what_each_operation_needs(tmp_path: Path, auth: str, schemes: dict[str, Any]) -> None:
    issuer = {"jwt_issuer": "https://issuer.example/a", "jwt_audience": "offload", "jwt_scope_prefix": "ofl:"}
    made = services(tmp_path, auth=auth, **issuer)
    declared = access.declared(create_app(made))

    told = msgspec.json.decode(msgspec.json.encode(document(made, declared)))

    validate(told)
    shown = told["components"]["securitySchemes"]
    assert schemes.keys() == shown.keys()
    assert all(expected.items() <= shown[name].items() for name, expected in schemes.items())
    if "token" in shown:
        found = "https://issuer.example/a/.well-known/openid-configuration"
        assert found == shown["token"]["openIdConnectUrl"]
    for path, item in told["paths"].items():
        for method, operation in item.items():
            need = declared[path, method]
            if need is None:
                assert ([], False) == (operation["security"], "401" in operation["responses"])
                continue
            scopes = {"key": need.scope, "token": f"ofl:{need.scope}"}
            expected = [{name: [scopes[name]]} for name in schemes]
            assert operation["security"] == ([{}, *expected] if auth == "loopback" else expected)
            assert {"401", "403", "503"} <= operation["responses"].keys()
