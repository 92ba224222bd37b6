"""Where change events come from, and how this worker takes part in the consumer group."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from pydantic import Field, SecretStr, model_validator

from worker.settings.types import Bytes, Group, Seconds, given_twice, read_secret, refuse
from worker.stages.start_offsets import OffsetPolicy

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}")


class SecurityProtocol(StrEnum):
    """Kafka's own names for how a connection is secured."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(StrEnum):
    """Kafka's own names for how a client proves who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class KafkaSecurity(Group):
    """How the connection to the brokers is secured. The default is a plain connection, for a trusted network only."""

    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the brokers' listener has it."""
    mechanism: SaslMechanism | None = None
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; needed with the SASL protocols."""
    username: str | None = Field(default=None, min_length=1)
    """User for PLAIN and SCRAM."""
    password: SecretStr | None = Field(default=None, min_length=1)
    """Password for PLAIN and SCRAM; better given as `password_file`."""
    password_file: Path | None = None
    """File whose first line is the password."""
    token_file: Path | None = None
    """File that holds the OAUTHBEARER token; read anew whenever the client needs a token, so it may be rotated."""
    ca_file: Path | None = None
    """PEM file of the authorities that sign the brokers' certificates; default: the system's."""
    certificate_file: Path | None = None
    """PEM file of the client's certificate, for mutual TLS."""
    key_file: Path | None = None
    """PEM file of the client's private key, for mutual TLS."""

    @property
    def uses_sasl(self) -> bool:
        """Whether the protocol authenticates with SASL."""
        return self.protocol in {SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL}

    @property
    def uses_tls(self) -> bool:
        """Whether the protocol encrypts the connection."""
        return self.protocol in {SecurityProtocol.SSL, SecurityProtocol.SASL_SSL}

    def read_password(self) -> str | None:
        """Return the password from its setting or its file."""
        return read_secret("kafka.security.password", self.password, self.password_file)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        yield from given_twice("password", self.password, self.password_file)
        if self.uses_sasl and self.mechanism is None:
            yield f"protocol {self.protocol} needs a mechanism: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, ..."
        if not self.uses_sasl and self.mechanism is not None:
            yield f"mechanism {self.mechanism} needs protocol SASL_SSL (or SASL_PLAINTEXT)"
        if self.mechanism is SaslMechanism.OAUTHBEARER and self.token_file is None:
            yield "mechanism OAUTHBEARER needs token_file"
        if self.uses_sasl and self.mechanism is not SaslMechanism.OAUTHBEARER and not self._has_login:
            yield f"mechanism {self.mechanism} needs username, and password or password_file"
        if (self.certificate_file is None) != (self.key_file is None):
            yield "certificate_file and key_file go together: give both or neither"
        yield from self._unused()

    def _unused(self) -> Iterator[str]:
        """Yield what the protocol would not use: an operator who gave it believes that it protects something."""
        login = (self.username, self.password, self.password_file, self.token_file)
        if not self.uses_sasl and any(value is not None for value in login):
            yield f"protocol {self.protocol} uses no login: set protocol SASL_SSL, or remove the login"
        files = (self.ca_file, self.certificate_file)
        if not self.uses_tls and any(value is not None for value in files):
            yield f"protocol {self.protocol} uses no TLS: set protocol SSL or SASL_SSL, or remove the files"

    @property
    def _has_login(self) -> bool:
        return self.username is not None and (self.password is not None or self.password_file is not None)


class KafkaSettings(Group):
    """Brokers, consumer group and what to do where the group has no offset."""

    bootstrap_servers: list[str] = Field(default=["localhost:9092"], min_length=1)
    """Brokers to ask first, each `host:port`."""
    group_id: str = Field(default="syncline", min_length=1)
    """Consumer group. Workers of one group share the partitions; a rebuild uses a group of its own."""
    security: KafkaSecurity = KafkaSecurity()
    """How the connection is secured."""
    start_from: OffsetPolicy = OffsetPolicy.EARLIEST
    """Where a partition starts that this group has never committed. `earliest`, because an index must hold every row;
    `fail` where a missing offset is a sign of a mistake. Partitions and topics that appear later start at their first
    record."""
    on_lost_offsets: OffsetPolicy = OffsetPolicy.FAIL
    """What to do when the committed offset is no longer in the log (retention ran past it): changes may be lost, so the
    default is to stop and say so; `earliest` reads on from what is left."""
    dead_letter_topic: str | None = Field(default=None, min_length=1)
    """Topic for records that can never be indexed. Without one such a record stops the worker, uncommitted."""
    session_timeout: Seconds = Field(default=45.0, ge=6, le=1800)
    """Seconds without a heartbeat after which the group gives this worker's partitions away."""
    rebalance_timeout: Seconds = Field(default=60.0, ge=6)
    """Seconds that every member has to finish its work when partitions move; above `delivery.drain_timeout`."""
    group_instance_id: str | None = Field(default=None, min_length=1, max_length=249, pattern=r"^[a-zA-Z0-9._-]+$")
    """Static membership: a name of its own for each worker (the pod's, in a StatefulSet). A restart within
    `session_timeout` then moves no partitions; but a worker that is gone for good keeps its partitions that long. Two
    workers of one name throw each other out."""
    metadata_max_age: Seconds = Field(default=60.0, ge=1)
    """Seconds after which topics and partitions are looked up again: how late a new one may be noticed."""
    fetch_max_records: int = Field(default=500, ge=1, le=100_000)
    """Records taken from the client at once: bounds the time that decoding holds the event loop."""
    fetch_max_bytes: Bytes = Field(default=Bytes(8 * 1024 * 1024), ge=1024)
    """Bytes one fetch may bring from a broker; a single larger record still passes."""

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        # Not repeated: what stands here by mistake may be a URL with a password.
        refuse(
            f"bootstrap_servers[{number}] is not host:port, such as kafka-0.kafka:9092"
            for number, server in enumerate(self.bootstrap_servers)
            if not _ADDRESS.fullmatch(server)
        )
        return self
