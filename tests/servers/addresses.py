"""Where servers are, as values: nothing here starts or stops anything."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit


class Kind(StrEnum):
    EMBEDDED = "embedded"
    JVM = "jvm"
    DOCKER = "docker"
    EXTERNAL = "external"


class NotOfferedError(RuntimeError):
    """This kind of servers has no such server; the message says which kind has."""


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    host: str
    port: int
    user: str = "postgres"
    password: str = ""
    database: str = "postgres"

    @property
    def dsn(self) -> str:
        secret = f":{quote(self.password, safe='')}" if self.password else ""
        return f"postgresql://{quote(self.user, safe='')}{secret}@{self.host}:{self.port}/{self.database}"

    @classmethod
    def parse(cls, dsn: str) -> "PostgresAddress":
        parts = urlsplit(dsn)
        if parts.scheme not in {"postgres", "postgresql"} or not parts.hostname:
            raise ValueError("a PostgreSQL address looks like postgresql://user:password@host:5432/database")
        return cls(
            host=parts.hostname,
            port=parts.port or 5432,
            user=unquote(parts.username or "postgres"),
            password=unquote(parts.password or ""),
            database=parts.path.lstrip("/") or "postgres",
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a benchmark or a child process needs to know; `None` where the kind has no such server."""

    kind: Kind
    kafka_bootstrap: str
    elasticsearch_url: str
    postgres: PostgresAddress | None = None
    connect_url: str | None = None
