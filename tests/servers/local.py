import os
import pwd
import secrets
import signal
from pathlib import Path

from tests.servers import postgresql, rabbitmq
from tests.servers.binaries import install_missing, program
from tests.servers.local_process import LocalProcess
from tests.servers.ports import free_ports
from tests.servers.postgresql import PostgreSQL
from tests.servers.rabbitmq import RabbitMQ

# The node would start an epmd of its own as a daemon that outlives it; one that listens already is used instead.
_RABBITMQ_SCRIPT = """
"$0" &
until "$0" -names >/dev/null 2>&1; do sleep 0.02; done
exec "$1"
"""

# initdb may leave its files to the kernel: the server itself runs with fsync on, and a host that lost its power
# between the two has lost this run anyway.
_POSTGRESQL_SCRIPT = """
[ -s data/PG_VERSION ] || "$0" --pgdata=data --username="$3" --pwfile=password --auth=scram-sha-256 \
  --encoding=UTF8 --no-locale --no-sync --no-instructions || exit
exec "$1" -D data -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories=
"""


class Local:
    """The way through installed binaries: instances of our own, beside any that the system runs."""

    name = "local binaries"

    def prepare(self) -> None:
        """Install what is missing, where that is possible without a question.

        Raises ServersUnavailableError when it is not.
        """
        install_missing()

    def rabbitmq(self, run: Path) -> RabbitMQ:
        amqp_port, management_port, distribution_port, epmd_port = free_ports(4)
        password = secrets.token_hex(8)
        folder, account = _folder(run, "rabbitmq")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp_port}\n"
            f"management.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {management_port}\n"
            f"default_user = {rabbitmq.USER}\n"
            f"default_pass = {password}\n"
        )
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        process = LocalProcess(
            _RABBITMQ_SCRIPT,
            [program("epmd"), program("rabbitmq-server")],
            folder=folder,
            account=account,
            environment=_rabbitmq_environment(folder, distribution_port, epmd_port),
            stop_signal=signal.SIGTERM,
        )
        return RabbitMQ(
            process, host="127.0.0.1", amqp_port=amqp_port, management_port=management_port, password=password
        )

    def postgresql(self, run: Path) -> PostgreSQL:
        [port] = free_ports(1)
        password = secrets.token_hex(8)
        folder, account = _folder(run, "postgres")
        (folder / "password").write_text(password)
        process = LocalProcess(
            _POSTGRESQL_SCRIPT,
            [program("initdb"), program("postgres"), str(port), postgresql.USER],
            folder=folder,
            account=account,
            environment={},
            stop_signal=signal.SIGINT,
        )
        return PostgreSQL(process, host="127.0.0.1", port=port, password=password)


def _rabbitmq_environment(folder: Path, distribution_port: int, epmd_port: int) -> dict[str, str]:
    """Name every file and port that a node would else share with the system's own."""
    return {
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": "offload@localhost",
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
    }


def _folder(run: Path, account_name: str) -> tuple[Path, pwd.struct_passwd | None]:
    """Make a folder for a server, and say whose: PostgreSQL refuses to run as root, and RabbitMQ need not."""
    folder = run / account_name
    folder.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return folder, None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    account = accounts.get(account_name) or accounts["nobody"]
    os.chown(folder, account.pw_uid, account.pw_gid)
    return folder, account
