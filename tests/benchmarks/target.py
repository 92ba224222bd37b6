"""The indices: all of the same body, but that only the worker's own has `sync` fields and demands a routing."""

import json
import urllib.error
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tests.e2e.index import Document, call
from tests.soak.pages import call_lines, every_document
from worker.resources import load_index_definition

_WHOLE: Final = {"exclude_vectors": False}
_WITHOUT_VECTORS: Final = {"excludes": ["embedding", "sync"]}
_BULK: Final = 500
_NOT_FOUND: Final = 404


def create_plain(url: str, name: str) -> None:
    """Create an index for a baseline."""
    definition = load_index_definition("articles")
    mappings: dict[str, Any] = dict(definition.mappings)
    properties = {name: field for name, field in mappings["properties"].items() if name != "sync"}
    own = {"dynamic": mappings["dynamic"], "properties": properties}
    call("PUT", f"{url}/{name}", {"settings": definition.settings, "mappings": own})


def whole_documents(url: str, index: str) -> list[Document]:
    """Everything in an index, vectors included."""
    return list(every_document(url, index, _WHOLE, page=500))


def visible_documents(url: str, alias: str) -> Iterable[Document]:
    """What readers see of an index or alias."""
    return every_document(url, alias, _WITHOUT_VECTORS)


def put(url: str, index: str, documents: Iterable[Document], *, versions: bool) -> None:
    """Write documents as they are, where they are."""
    waiting: list[object] = []
    for one in documents:
        version = {"version": one.version, "version_type": "external"} if versions else {}
        waiting += [
            {"index": {"_index": index, "_id": one.id, **({"routing": one.routing} if one.routing else {}), **version}},
            dict(one.body),
        ]
        if len(waiting) >= 2 * _BULK:
            _send(url, waiting)
            waiting = []
    if waiting:
        _send(url, waiting)
    call("POST", f"{url}/{index}/_refresh")


def _send(url: str, lines: Sequence[object]) -> None:
    answer = call_lines(f"{url}/_bulk", lines)
    assert not answer["errors"], str(answer)[:2000]


def are_there(url: str, index: str, places: Iterable[tuple[str, str | None]]) -> bool:
    """Whether all documents, by id and routing, are acknowledged: searchable or not."""
    docs = [{"_id": id_, **({} if routing is None else {"routing": routing})} for id_, routing in places]
    try:
        answer = call("POST", f"{url}/{index}/_mget?_source=false", {"docs": docs})
    except urllib.error.HTTPError as error:
        if error.code == _NOT_FOUND:
            return False
        raise
    return all(one.get("found") for one in answer["docs"])


def key_of(document_id: str) -> tuple[str, ...]:
    """The row's key in a baseline's document id: values joined with `|`, or Debezium's key as JSON."""
    values = list(json.loads(document_id).values()) if document_id.startswith("{") else document_id.split("|")
    return tuple(map(str, values))


def remove(url: str, index: str) -> None:
    """Delete an index if it is there."""
    call("DELETE", f"{url}/{index}?ignore_unavailable=true")


def operations(url: str, indices: str) -> int:
    """How many writes Elasticsearch was asked for, refused ones included."""
    counted = call("GET", f"{url}/{indices}/_stats/indexing")["_all"]["primaries"]["indexing"]
    return int(counted["index_total"] + counted["index_failed"] + counted["delete_total"])
