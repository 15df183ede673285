import gc
import secrets
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from docker.errors import (  # type: ignore[import-untyped] # docker publishes no types
    DockerException,
    ImageNotFound,
    NotFound,
)
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from tests.servers import postgresql, rabbitmq
from tests.servers.errors import ServerFailedError, ServersUnavailableError
from tests.servers.ports import free_ports
from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ

RABBITMQ_IMAGE = "rabbitmq:4-management"
POSTGRESQL_IMAGE = "postgres:17"
RUN_LABEL = "offload.tests.run"
_MARK = "containers"
_STOP_LIMIT_SECONDS = 30


class ContainerProcess:
    """A container with fixed host ports; it is stopped and started, never made anew, so its data stays."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container

    def start(self) -> None:
        if self._container.status == "not_started":
            self._container.start()
        else:
            self._container.get_wrapped_container().start()

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=_STOP_LIMIT_SECONDS)

    def kill(self) -> None:
        if self.is_running():
            self._container.get_wrapped_container().kill()
            self._container.wait()

    def remove(self) -> None:
        self._container.stop()

    def freeze(self) -> None:
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        self._container.reload()
        if self._container.status == "paused":
            self._container.get_wrapped_container().unpause()

    def execute(self, program: str, *arguments: str) -> str:
        status, output = self._container.get_wrapped_container().exec_run([program, *arguments])
        said: str = output.decode(errors="replace")
        if status != 0:
            raise ServerFailedError(f"{program} ended with status {status}: {said[-1000:]}")
        return said

    def is_running(self) -> bool:
        self._container.reload()
        return self._container.status == "running"

    def log_tail(self) -> str:
        log: bytes = self._container.get_wrapped_container().logs(tail=30)
        return log.decode(errors="replace")


class Docker:
    """The way through Docker. The plain container is used: the ready-made ones read RABBITMQ_* and POSTGRES_*."""

    name = "Docker"

    def prepare(self) -> None:
        """Ask the engine for an answer, and pull the images it lacks.

        Raises ServersUnavailableError when no engine answers or an image cannot be had.
        """
        # The run's own reaper does Ryuk's work, without a third image and without its privileges.
        testcontainers_config.ryuk_disabled = True
        if silence := _silence():
            raise ServersUnavailableError(f"no engine answers ({silence})")
        with closing(DockerClient().client) as client:
            for image in (RABBITMQ_IMAGE, POSTGRESQL_IMAGE):
                _have(client, testcontainers_config.hub_image_name_prefix + image)

    def rabbitmq(self, run: Path) -> RabbitMQ:
        amqp_port, management_port = free_ports(2)
        password = secrets.token_hex(8)
        container = _container(run, RABBITMQ_IMAGE, {5672: amqp_port, 15672: management_port})
        container.with_envs(RABBITMQ_DEFAULT_USER=rabbitmq.USER, RABBITMQ_DEFAULT_PASS=password)
        return RabbitMQ(
            ContainerProcess(container),
            host=_host(container),
            amqp_port=amqp_port,
            management_port=management_port,
            password=password,
        )

    def postgresql(self, run: Path) -> PostgreSQL:
        [port] = free_ports(1)
        password = secrets.token_hex(8)
        container = _container(run, POSTGRESQL_IMAGE, {5432: port})
        container.with_envs(
            POSTGRES_USER=postgresql.USER, POSTGRES_PASSWORD=password, POSTGRES_DB=postgresql.MAINTENANCE_DATABASE
        )
        return PostgreSQL(ContainerProcess(container), host=_host(container), port=port, password=password)


def remove_containers(run: Path) -> None:
    """Remove the containers of a run, found by its label, with their volumes."""
    if not (run / _MARK).exists():
        return
    with suppress(DockerException, OSError), closing(DockerClient().client) as client:
        for container in client.containers.list(all=True, filters={"label": f"{RUN_LABEL}={run.name}"}):
            with suppress(NotFound):
                container.remove(force=True, v=True)


def _container(run: Path, image: str, ports: dict[int, int]) -> DockerContainer:
    (run / _MARK).touch()
    container = DockerContainer(image).with_kwargs(labels={RUN_LABEL: run.name})
    # An engine on this machine publishes on loopback alone; testcontainers does not declare that a port may say so.
    address = "127.0.0.1" if _host(container) == "127.0.0.1" else "0.0.0.0"
    cast("dict[str, Any]", container.ports).update({str(inside): (address, host) for inside, host in ports.items()})
    return container


def _host(container: DockerContainer) -> str:
    host = container.get_docker_client().host()
    return "127.0.0.1" if host == "localhost" else host


def _silence() -> str:
    """Say why no engine answers; empty when one does."""
    # Failing to connect, docker-py leaves its socket to the collector, which would warn in the middle of some test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            DockerClient().client.close()
        except (DockerException, OSError) as error:
            silence = str(error)
        else:
            silence = ""
        gc.collect()
    return silence


def _have(client: Any, image: str) -> None:
    try:
        client.images.get(image)
    except ImageNotFound:
        print(f"Pulling {image} ...", flush=True)
        try:
            client.images.pull(image)
        except (DockerException, OSError) as error:
            raise ServersUnavailableError(f"the engine has no image {image} and cannot pull it ({error})") from error
