"""What is in Elasticsearch, asked over plain HTTP: the same for every version of server and client."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_ENOUGH = 10_000


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    routing: str
    version: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Index:
    """One index with its aliases: readers see `alias`, the worker writes to `alias-write`."""

    url: str
    alias: str

    def server_version(self) -> str:
        nodes = call("GET", f"{self.url}/_nodes?filter_path=nodes.*.version")["nodes"]
        return str(next(iter(nodes.values()))["version"])

    def visible(self, query: Mapping[str, Any] | None = None) -> list[Document]:
        """Everything behind the readers' alias, or what of it matches."""
        return self._search(self.alias, query)

    def all(self, query: Mapping[str, Any] | None = None) -> list[Document]:
        """Everything there is, tombstones included."""
        return self._search(f"{self.alias}-write", query)

    def at(self, document_id: str) -> Document:
        """The one document of an id, tombstone or not."""
        (document,) = self.all({"ids": {"values": [document_id]}})
        return document

    def count(self, query: Mapping[str, Any] | None = None) -> int:
        """How many documents readers can count."""
        self._refresh()
        answer = call("POST", f"{self.url}/{self.alias}/_count", {"query": query or {"match_all": {}}})
        return int(answer["count"])

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask the server anything."""
        return call(method, f"{self.url}{path}", body)

    def _search(self, alias: str, query: Mapping[str, Any] | None) -> list[Document]:
        self._refresh()
        body = {"query": query or {"match_all": {}}, "size": _ENOUGH, "version": True}
        path = f"{self.url}/{alias}/_search"
        try:
            # From 9.2 on vectors have to be asked for; older servers do not know the question.
            found = call("POST", path, {**body, "_source": {"exclude_vectors": False}})
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            found = call("POST", path, body)
        assert found["_shards"]["failed"] == 0
        return [Document(hit["_id"], hit["_routing"], hit["_version"], hit["_source"]) for hit in found["hits"]["hits"]]

    def _refresh(self) -> None:
        call("POST", f"{self.url}/{self.alias}/_refresh")


def call(method: str, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask; a user and a password in the URL are used to log in."""
    data = None if body is None else json.dumps(body).encode()
    address, login = logged_in(url)
    request = urllib.request.Request(address, data, {**login, "Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def logged_in(url: str) -> tuple[str, dict[str, str]]:
    """A URL without the user and the password in it, and the headers that they are sent in."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    login, _, address = parts.netloc.rpartition("@")
    return parts._replace(netloc=address).geturl(), {"Authorization": "Basic " + b64encode(login.encode()).decode()}
