"""All documents of an index of any size, page by page, as they were at one moment."""

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.e2e.index import Document, call, logged_in

_PAGE: Final = 2000
_KEPT: Final = "5m"


def every_document(
    url: str, name: str, source: object, query: Mapping[str, Any] | None = None, page: int = _PAGE
) -> Iterator[Document]:
    """Refresh, then read everything behind an index or alias; `source` is what of each document is wanted."""
    call("POST", f"{url}/{name}/_refresh")
    opened = call("POST", f"{url}/{name}/_pit?keep_alive={_KEPT}")
    pit = opened["id"]
    try:
        after: list[object] | None = None
        while True:
            body: dict[str, Any] = {
                "pit": {"id": pit, "keep_alive": _KEPT},
                "query": query or {"match_all": {}},
                "size": page,
                "sort": [{"_shard_doc": "asc"}],
                "track_total_hits": False,
                "version": True,
                "_source": source,
            }
            if after is not None:
                body["search_after"] = after
            found = call("POST", f"{url}/_search", body)
            assert found["_shards"]["failed"] == 0, f"a shard did not answer: {found['_shards']}"
            pit = found["pit_id"]
            hits = found["hits"]["hits"]
            for hit in hits:
                yield Document(hit["_id"], hit.get("_routing", ""), hit["_version"], hit.get("_source", {}))
            if len(hits) < page:
                return
            after = hits[-1]["sort"]
    finally:
        call("DELETE", f"{url}/_pit", {"id": pit})


def call_lines(url: str, lines: Iterable[object]) -> dict[str, Any]:
    """Post a body of several JSON texts, one a line; log in as `call` does."""
    data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    address, login = logged_in(url)
    request = urllib.request.Request(address, data, {**login, "Content-Type": "application/x-ndjson"}, method="POST")
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
