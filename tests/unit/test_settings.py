import re
from pathlib import Path

import pytest

from offload_api.settings import ApiSettings
from offload_shared.errors import SettingsInvalid
from offload_shared.settings import SharedSettings, load, without_password
from offload_worker.settings import IO_SLOTS, WorkerSettings, cores


def test_nothing_set_means_embedded_in_the_data_folder() -> None:
    settings = load(SharedSettings, {"OFFLOAD_DATA_DIR": "/data"})

    assert "sqlite:////data/offload.db" == settings.store
    assert "file:///data/artifacts" == settings.artifacts
    assert "" == settings.broker_url


def test_an_empty_variable_counts_as_unset() -> None:
    assert Path(".offload") == load(SharedSettings, {"OFFLOAD_DATA_DIR": " "}).data_dir


def test_a_plain_postgresql_url_gets_the_driver_we_have() -> None:
    settings = load(SharedSettings, {"OFFLOAD_STORE_URL": "postgresql://u@h/d"})

    assert "postgresql+psycopg://u@h/d" == settings.store


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OFFLOAD_LEASE_SECONDS", "soon"),
        ("OFFLOAD_LEASE_SECONDS", "2.9"),
        ("OFFLOAD_LEASE_SECONDS", "nan"),
        ("OFFLOAD_BROKER_QUORUM", "perhaps"),
        ("OFFLOAD_STORE_URL", "mysql://h/d"),
        ("OFFLOAD_BROKER_URL", "redis://h"),
        ("OFFLOAD_BROKER_URL", "amqp"),
        ("OFFLOAD_BROKER_URL", "amqp://[h/"),
        ("OFFLOAD_STORE_URL", "postgresql://[::1/d"),
        ("OFFLOAD_ARTIFACTS_URL", "s3://[x"),
        ("OFFLOAD_ARTIFACTS_URL", "/a/folder"),
        ("OFFLOAD_LOG_LEVEL", "loud"),
    ],
)
def test_a_malformed_setting_is_named_with_its_value(variable: str, value: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(SharedSettings, {variable: value})

    assert variable in str(caught.value)
    assert repr(value) in str(caught.value)


def test_a_password_in_a_bad_url_is_not_shown() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(SharedSettings, {"OFFLOAD_STORE_URL": "mysql://me:secret@h/d"})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("rest", ["h", "h:1/v", "[h/", "h:port/"])
def test_a_url_is_shown_without_its_password_also_when_it_is_no_url(rest: str) -> None:
    assert f"amqp://me:***@{rest}" == without_password(f"amqp://me:se@cr/et@{rest}")
    assert f"amqp://me@{rest}" == without_password(f"amqp://me@{rest}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/u:secret@h/db",
        "postgresql:u:secret@h/db",
        "postgresql//u:secret@h/db",
        "postgresql://h/db?user=u&password=secret&x=1",
    ],
)
def test_no_misspelt_url_shows_its_password(url: str) -> None:
    assert "secret" not in without_password(url)
    assert "h" in without_password(url)


def test_a_setting_of_a_few_words_names_them() -> None:
    with pytest.raises(SettingsInvalid, match="'loud': expected one of DEBUG, INFO, WARNING, ERROR"):
        load(SharedSettings, {"OFFLOAD_LOG_LEVEL": "loud"})


def test_no_limit_that_the_operator_sets_is_endless() -> None:
    with pytest.raises(SettingsInvalid, match="OFFLOAD_MAX_TIMEOUT_SECONDS is 'inf'"):
        load(ApiSettings, {"OFFLOAD_MAX_TIMEOUT_SECONDS": "inf"})


@pytest.mark.parametrize("value", ["localhost", "10.0.0.1/8", "10.0.0.0/8;127.0.0.0/8"])
def test_networks_that_are_none_are_named(value: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"OFFLOAD_OUTBOUND_NETWORKS is '{value}'"):
        load(ApiSettings, {"OFFLOAD_OUTBOUND_NETWORKS": value})


def test_nothing_but_the_public_internet_is_called_unless_told_otherwise() -> None:
    assert () == load(ApiSettings, {}).allowed_networks
    allowed = load(ApiSettings, {"OFFLOAD_OUTBOUND_NETWORKS": "10.0.0.0/8, ::1/128"}).allowed_networks
    assert ["10.0.0.0/8", "::1/128"] == [str(each) for each in allowed]


def test_a_worker_takes_every_queue_with_slots_that_fit_its_work() -> None:
    slots = load(WorkerSettings, {}).slots_of_queues()

    assert {"cpu": cores(), "io": IO_SLOTS, "probe": cores()} == slots


def test_a_worker_can_be_told_its_queues_and_slots() -> None:
    assert {"io": 3} == load(WorkerSettings, {"OFFLOAD_QUEUES": "io", "OFFLOAD_SLOTS": "3"}).slots_of_queues()


def test_an_unknown_queue_is_refused_by_name() -> None:
    with pytest.raises(SettingsInvalid, match=r"'gpu'.*cpu, io, probe"):
        load(WorkerSettings, {"OFFLOAD_QUEUES": "gpu"}).slots_of_queues()


def test_queues_that_name_none_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match="OFFLOAD_QUEUES is ',': it names no queue"):
        load(WorkerSettings, {"OFFLOAD_QUEUES": ","}).slots_of_queues()


TOKENS = {"OFFLOAD_AUTH": "jwt", "OFFLOAD_JWT_ISSUER": "https://issuer.example", "OFFLOAD_JWT_AUDIENCE": "offload"}


@pytest.mark.parametrize("auth", ["jwt", "keys+jwt"])
@pytest.mark.parametrize("missing", ["OFFLOAD_JWT_ISSUER", "OFFLOAD_JWT_AUDIENCE"])
def test_tokens_need_an_issuer_and_an_audience(auth: str, missing: str) -> None:
    with pytest.raises(SettingsInvalid, match=rf"^OFFLOAD_AUTH is '{re.escape(auth)}': set {missing} as well$"):
        load(ApiSettings, {**TOKENS, "OFFLOAD_AUTH": auth, missing: ""})


@pytest.mark.parametrize(
    "url",
    [
        *("http://issuer.example", "issuer.example", "https://", "file:///keys", "https://[x"),
        *("https://issuer.example?a=b", "https://issuer.example#a", "https://me:secret@issuer.example"),
    ],
)
def test_an_issuer_whose_keys_anybody_could_send_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="OFFLOAD_JWT_ISSUER is") as caught:
        load(ApiSettings, {**TOKENS, "OFFLOAD_JWT_ISSUER": url})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ['of"load:', "of load:", "of\\load:", "x" * 256])
@pytest.mark.parametrize("name", ["OFFLOAD_JWT_SCOPE_PREFIX", "OFFLOAD_JWT_SCOPE_CLAIM", "OFFLOAD_JWT_TENANT_CLAIM"])
def test_what_no_challenge_could_name_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsInvalid, match=name):
        load(ApiSettings, {**TOKENS, name: value})


def test_who_is_asked_who_they_are_is_said_by_one_setting() -> None:
    asked = {"loopback": (False, False), "open": (False, False), "keys": (True, False)}
    asked |= {"jwt": (False, True), "keys+jwt": (True, True)}

    for auth, expected in asked.items():
        settings = load(ApiSettings, {**TOKENS, "OFFLOAD_AUTH": auth})
        assert expected == (settings.takes_keys, settings.takes_tokens)
        assert any(expected) == settings.asks
