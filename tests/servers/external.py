"""The kind `external`: servers that someone else runs; their addresses come from the environment."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from typing_extensions import override

from tests.servers.addresses import Kind, PostgresAddress
from tests.servers.start import Servers

if TYPE_CHECKING:
    from tests.servers.jvm.connect import Connect

KAFKA = "SERVERS_KAFKA"
ELASTICSEARCH = "SERVERS_ELASTICSEARCH"
POSTGRES = "SERVERS_POSTGRES"
CONNECT = "SERVERS_CONNECT"


class MissingAddressError(RuntimeError):
    """The environment does not say where a server is."""


class ExternalKind(Servers):
    """The variables are read when the address is asked for: a test of Kafka alone needs no Elasticsearch."""

    kind = Kind.EXTERNAL

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    @cached_property
    @override
    def kafka(self) -> str:
        return self._address(KAFKA, "host:9092")

    @cached_property
    @override
    def elasticsearch(self) -> str:
        return self._address(ELASTICSEARCH, "http://host:9200")

    @cached_property
    @override
    def postgres(self) -> PostgresAddress:
        return PostgresAddress.parse(self._address(POSTGRES, "postgresql://user:password@host:5432/database"))

    @cached_property
    @override
    def connect(self) -> "Connect":
        from tests.servers.jvm.connect import Connect  # noqa: PLC0415 - keeps the other kinds out of the usual path

        return Connect(url=self._address(CONNECT, "http://host:8083"), postgres=self.postgres)

    @override
    def close(self) -> None:
        """Nothing was started here."""

    def _address(self, variable: str, example: str) -> str:
        address = self._environment.get(variable, "").strip()
        if not address:
            raise MissingAddressError(f"--servers external needs {variable} in the environment, for example {example}.")
        return address
