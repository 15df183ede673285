"""Reads settings from environment variables into a typed struct, and says which one is wrong."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from offload_shared.errors import SettingsInvalid
from offload_shared.outbound import Network, networks

PREFIX = "OFFLOAD_"

STORE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")
BROKER_SCHEMES = ("amqp", "amqps")
ARTIFACTS_SCHEMES = ("file", "s3", "gs", "az")

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class SharedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What both services need to know; each field is the variable `OFFLOAD_` and its name in upper case."""

    data_dir: Path = Path(".offload")
    store_url: str = ""  # empty: SQLite in the data folder
    broker_url: str = ""  # empty: embedded, the workers read due jobs from the store
    artifacts_url: str = ""  # empty: a folder in the data folder
    broker_quorum: bool = False
    lease_seconds: Annotated[float, Meta(ge=3, le=86_400)] = 30.0
    sweep_seconds: Seconds = 2.0
    outbound_networks: str = ""  # that are not public and may be called all the same: CIDR, joined by commas
    failpoints: str = ""  # a folder; empty: there are none
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def __post_init__(self) -> None:
        require_scheme("store_url", self.store_url, STORE_SCHEMES)
        require_scheme("broker_url", self.broker_url, BROKER_SCHEMES)
        require_scheme("artifacts_url", self.artifacts_url, ARTIFACTS_SCHEMES)
        try:
            networks(self.outbound_networks)
        except ValueError as error:
            raise invalid("outbound_networks", self.outbound_networks, str(error)) from None

    @property
    def allowed_networks(self) -> tuple[Network, ...]:
        """The networks that may be called beside the public internet, when somebody else names the server."""
        return networks(self.outbound_networks)

    @property
    def store(self) -> str:
        """The store's URL, as SQLAlchemy reads it."""
        if self.store_url.startswith("postgresql:"):
            return self.store_url.replace("postgresql:", "postgresql+psycopg:", 1)
        return self.store_url or f"sqlite:///{self.data_dir.absolute() / 'offload.db'}"

    @property
    def artifacts(self) -> str:
        """The artifact storage's URL, as obstore reads it."""
        return self.artifacts_url or (self.data_dir.absolute() / "artifacts").as_uri()


_PASSWORD = re.compile(r"^((?>[\w+.-]*:?/{0,2})[^:@/]*):.*@")
_PASSWORD_OPTION = re.compile(r"(?i)(password=)[^&]*")

Settings = TypeVar("Settings", bound=SharedSettings)


def load(kind: type[Settings], environment: Mapping[str, str]) -> Settings:
    """Return the settings found in `environment`; raises `SettingsInvalid`, naming the variable and its value.

    An empty variable counts as unset. A variable that is another service's setting is no error: both may share a file.
    """
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        text = environment.get(PREFIX + name.upper(), "").strip()
        if text:
            values[name] = _converted(name, text, hint)
    return kind(**values)


def _converted(name: str, text: str, hint: Any) -> Any:
    if hint is Path:
        return Path(text)
    try:
        return msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError as error:
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        raise invalid(name, text, f"expected one of {', '.join(choices)}" if choices else str(error)) from None


def require_scheme(name: str, url: str, schemes: tuple[str, ...]) -> None:
    """Raise `SettingsInvalid` for a URL of another scheme than these; an empty one is unset."""
    if not url:
        return
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise invalid(name, url, str(error)) from None
    if scheme not in schemes or "://" not in url:
        raise invalid(name, url, f"expected a URL that starts with {', '.join(s + '://' for s in schemes)}")


def invalid(name: str, value: str, problem: str) -> SettingsInvalid:
    """Return the error that shows a setting's value, without a password in it."""
    return SettingsInvalid(f"{PREFIX}{name.upper()} is {without_password(value)!r}: {problem}")


def without_password(url: str) -> str:
    """Return a URL fit to be shown: its password, if it has one, replaced by stars."""
    # Also where it is no URL that could be taken apart.
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
