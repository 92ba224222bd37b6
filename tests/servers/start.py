"""One entry point for every kind of servers; each server starts when it is first asked for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from tests.servers.addresses import Addresses, Kind, NotOfferedError, PostgresAddress

if TYPE_CHECKING:
    from tests.servers.jvm.connect import Connect
    from tests.servers.processes import Server


class Servers(ABC):
    """The servers of one kind. Asking for an address starts its server, once; `close` stops what was started."""

    kind: Kind

    @cached_property
    @abstractmethod
    def kafka(self) -> str:
        """The bootstrap address."""

    @cached_property
    @abstractmethod
    def elasticsearch(self) -> str:
        """The URL of a server of the newest supported version, without security."""

    @cached_property
    def elasticsearch_8(self) -> str:
        """The URL of a second server, of the oldest supported version."""
        raise self._not_offered("a second Elasticsearch")

    @cached_property
    def elasticsearch_secured(self) -> str:
        """The URL of a server with security on, with user and password in it."""
        raise self._not_offered("an Elasticsearch with security")

    @cached_property
    def postgres(self) -> PostgresAddress:
        raise self._not_offered("PostgreSQL")

    @cached_property
    def connect(self) -> "Connect":
        raise self._not_offered("Kafka Connect with Debezium")

    def process(self, name: str) -> "Server":
        """The process of `kafka`, `elasticsearch` and so on, for a test to kill, pause or start again."""
        raise self._not_offered(f"a process of its own for {name}")

    def addresses(self, *, with_debezium: bool = False) -> Addresses:
        """All addresses as a value; starts the servers it names."""
        return Addresses(
            kind=self.kind,
            kafka_bootstrap=self.kafka,
            elasticsearch_url=self.elasticsearch,
            postgres=self.postgres if with_debezium else None,
            connect_url=self.connect.url if with_debezium else None,
        )

    @abstractmethod
    def close(self) -> None:
        """Stop what was started; the data folder stays, its owner removes it."""

    def _not_offered(self, what: str) -> NotOfferedError:
        return NotOfferedError(f"--servers {self.kind} has not {what}; --servers {Kind.JVM} has.")


@contextmanager
def start(kind: Kind, *, data_dir: Path) -> Iterator[Servers]:
    """Servers of `kind` with data and logs under `data_dir`, which must be readable for other accounts."""
    servers = _create(kind, data_dir)
    try:
        yield servers
    finally:
        servers.close()


def _create(kind: Kind, data_dir: Path) -> Servers:
    # Imported here: nobody should need testcontainers to run on the embedded server.
    match kind:
        case Kind.EMBEDDED:
            from tests.servers.embedded import EmbeddedKind  # noqa: PLC0415

            return EmbeddedKind(data_dir)
        case Kind.JVM:
            from tests.servers.jvm.servers import JvmKind  # noqa: PLC0415

            return JvmKind(data_dir)
        case Kind.DOCKER:
            from tests.servers.docker import DockerKind  # noqa: PLC0415

            return DockerKind()
        case Kind.EXTERNAL:
            from tests.servers.external import ExternalKind  # noqa: PLC0415

            return ExternalKind()
        case _:
            assert_never(kind)
