import psycopg
from psycopg import sql

from tests.servers.server import Process, Server

USER = "offload"
MAINTENANCE_DATABASE = "postgres"


class PostgreSQL(Server):
    """A PostgreSQL whose user `offload` may make and drop databases."""

    name = "PostgreSQL"

    def __init__(self, process: Process, *, host: str, port: int, password: str) -> None:
        super().__init__(process)
        self.host = host
        self.port = port
        self._password = password

    def postgres_url(self, database: str) -> str:
        """Name a database as SQLAlchemy does, with psycopg as the driver."""
        return f"postgresql+psycopg://{USER}:{self._password}@{self.host}:{self.port}/{database}"

    def create_database(self, database: str) -> None:
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))

    def drop_database(self, database: str) -> None:
        """Drop a database, and close its connections."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def terminate_backends(self, database: str) -> None:
        """End every connection to a database in the middle of whatever it does."""
        self._execute(
            sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}").format(
                sql.Literal(database)
            )
        )

    def answers(self) -> bool:
        try:
            self._execute(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def version(self) -> str:
        with self._connect() as connection:
            return str(connection.info.parameter_status("server_version")).split()[0]

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=USER,
            password=self._password,
            dbname=MAINTENANCE_DATABASE,
            connect_timeout=5,
            autocommit=True,
        )
