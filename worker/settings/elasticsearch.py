"""Where documents go, and which index they belong to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from worker.settings.types import Group, Seconds, given_twice, read_secret, refuse


class ElasticsearchSettings(Group):
    """Nodes, credentials, TLS and timeouts."""

    hosts: list[HttpUrl] = Field(default=[HttpUrl("http://localhost:9200")], min_length=1)
    """Nodes, each `http(s)://host:port`; requests are spread over them."""
    api_key: SecretStr | None = Field(default=None, min_length=1)
    """API key, in the encoded form that Elasticsearch returns; better given as `api_key_file`."""
    api_key_file: Path | None = None
    """File whose first line is the API key."""
    username: str | None = Field(default=None, min_length=1)
    """User for basic authentication, where there is no API key."""
    password: SecretStr | None = Field(default=None, min_length=1)
    """Password for basic authentication; better given as `password_file`."""
    password_file: Path | None = None
    """File whose first line is the password."""
    ca_file: Path | None = None
    """PEM file of the authorities that sign the nodes' certificates; default: the system's."""
    fingerprint: str | None = Field(default=None, pattern=r"^[0-9A-Fa-f:]{64,95}$")
    """SHA-256 of the certificate to trust, as Elasticsearch prints it at its first start."""
    request_timeout: Seconds = Field(default=30.0, gt=0)
    """Seconds for one request, waiting for a free connection included."""

    def read_api_key(self) -> str | None:
        """Return the API key from its setting or its file."""
        return read_secret("elasticsearch.api_key", self.api_key, self.api_key_file)

    def read_password(self) -> str | None:
        """Return the password from its setting or its file."""
        return read_secret("elasticsearch.password", self.password, self.password_file)

    @property
    def urls(self) -> list[str]:
        """The nodes as plain text."""
        return [str(host).rstrip("/") for host in self.hosts]

    @property
    def has_credential(self) -> bool:
        """Whether requests carry a key or a password."""
        return any(value is not None for value in (self.api_key, self.api_key_file, self.username))

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[str]:
        yield from given_twice("api_key", self.api_key, self.api_key_file)
        yield from given_twice("password", self.password, self.password_file)
        has_key = self.api_key is not None or self.api_key_file is not None
        has_password = self.password is not None or self.password_file is not None
        if has_key and self.username is not None:
            yield "both an API key and a username are given: keep one of them"
        if (self.username is not None) != has_password:
            yield "username and password (or password_file) go together: give both or neither"
        if any(host.username or host.password for host in self.hosts):
            yield "hosts: leave the user and password out of the URL and set username and password_file"
        schemes = {host.scheme for host in self.hosts}
        if schemes != {"https"} and (self.ca_file is not None or self.fingerprint is not None):
            yield "ca_file and fingerprint need hosts that begin with https://"


class IndexSettings(Group):
    """The names of the index and its aliases, and the file that defines the index."""

    alias: str = Field(default="articles", pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=180)
    """Name that readers use. The physical index is `<alias>-v000001`."""
    write_alias: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Name that the worker writes to; default `<alias>-write`."""
    environment: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_]*$", max_length=40)
    """Suffix of every name, so that staging never mixes with production: `staging` gives `<alias>-staging`."""
    definition: str = "articles"
    """Index body: the name of a file under `schemas/index/`, or the path of a JSON file."""

    @property
    def reader_alias(self) -> str:
        """The alias that readers use, environment included."""
        return self.alias if self.environment is None else f"{self.alias}-{self.environment}"

    @property
    def writer_alias(self) -> str:
        """The alias that the worker writes to, environment included."""
        if self.write_alias is None:
            return f"{self.reader_alias}-write"
        return self.write_alias if self.environment is None else f"{self.write_alias}-{self.environment}"

    @property
    def first_index(self) -> str:
        """The physical index that `apply` creates."""
        return f"{self.reader_alias}-v000001"

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.write_alias == self.alias:
            raise ValueError("write_alias must differ from alias: readers and the worker need separate names")
        return self
