"""Somebody who reads all the while, as tenants do: through an alias with the tenant's routing and filter.

Three things must hold in every sample, whatever is broken at that moment: a tenant sees rows of its own only; no
document's version falls; and what was gone from a tenant comes back only as something newer. Each document says of
itself, in its tags, whose row it is and of which revision, so a wrong routing or tenant field would be seen.
"""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final

from tests.e2e.index import Document, call
from tests.soak.pages import call_lines, every_document
from tests.soak.report import Report
from tests.threads import beside
from worker.stages.identity import tenant_alias

_ENOUGH: Final = 10_000
_DIMENSIONS: Final = 384
_ALL_EVERY: Final = 5
_WANTED: Final = ["tenant", "tags", "sync.version", "sync.deleted"]


@dataclass(slots=True)
class Seen:
    """What one reader has seen of one tenant."""

    shown: dict[str, int] = field(default_factory=dict)
    """Revision by document id, as of the newest sample."""
    gone: dict[str, int] = field(default_factory=dict)
    """The highest revision that had been shown of what was then shown no more."""


def add_tenant_aliases(url: str, alias: str, tenants: Sequence[str]) -> None:
    """Give every tenant its view of the index."""
    actions = [
        {
            "add": {
                "index": f"{alias}-v000001",
                "alias": tenant_alias(alias, tenant),
                "routing": tenant,
                "filter": {"term": {"tenant": tenant}},
            }
        }
        for tenant in tenants
    ]
    call("POST", f"{url}/_aliases", {"actions": actions})


class Reader:
    """Samples in a thread of its own; what must not be goes to the report."""

    def __init__(
        self,
        url: str,
        alias: str,
        tenants: Sequence[str],
        report: Report,
        seed: int,
        only: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """`only`: where nothing may change, what each tenant must see: revision by document id."""
        self._url = url
        self._alias = alias
        self._tenants = tenants
        self._report = report
        self._chance = random.Random(seed)
        self._only = only
        self._seen = {tenant: Seen() for tenant in tenants}
        self._versions: dict[str, int] = {}
        self.rounds = 0
        self.views = 0
        self.documents = 0
        self.disappeared = 0
        self.unanswered = 0

    @contextmanager
    def running(self, every_s: float = 0.5) -> Iterator[None]:
        """Sample while the block runs."""
        with beside(lambda stopping: self._run(stopping, every_s), "reader"):
            yield

    def figures(self) -> None:
        """Tell the report how much was seen."""
        self._report.figure("samples of all tenants' views", self.rounds)
        self._report.figure("views read", self.views)
        self._report.figure("documents seen in them", self.documents)
        self._report.figure("rows seen to leave a tenant", self.disappeared)
        self._report.figure("reads that Elasticsearch did not answer", self.unanswered)

    def _run(self, stopping: threading.Event, every_s: float) -> None:
        while not stopping.wait(every_s):
            try:
                self.sample()
            except (OSError, HTTPException):
                self.unanswered += 1
            except BaseException as error:
                self._report.violation(f"the reader has ended: {error!r}")
                raise

    def sample(self) -> None:
        """Read every tenant's view, one by nearness as well, and now and then all there is."""
        everything = {"query": {"match_all": {}}, "size": _ENOUGH}
        chosen = self._chance.choice(self._tenants)
        found = self._search([*((tenant, everything) for tenant in self._tenants), (chosen, self._near())])
        for tenant, documents in zip(self._tenants, found, strict=False):
            self._look(tenant, documents)
        for document in found[-1]:
            self._check_tenant(chosen, document)
        if self.rounds % _ALL_EVERY == 0:
            for document in every_document(self._url, f"{self._alias}-write", _WANTED):
                self._check_version(document)
                self._check_place(document)
        self.rounds += 1

    def _look(self, tenant: str, documents: Sequence[Document]) -> None:
        seen = self._seen[tenant]
        now: dict[str, int] = {}
        for found in documents:
            self._check_tenant(tenant, found)
            self._check_version(found)
            now[found.id] = revision(found)
            before = max(seen.gone.get(found.id, -1), seen.shown.get(found.id, 0) - 1)
            if now[found.id] <= before:
                self._report.violation(f"{found.id} came back: revision {now[found.id]} after {before}")
        if self._only is not None and now != self._only[tenant]:
            self._report.violation(f"{tenant} sees {sorted(now.items() ^ self._only[tenant].items())[:5]} differently")
        for gone in seen.shown.keys() - now.keys():
            seen.gone[gone] = max(seen.gone.get(gone, -1), seen.shown[gone])
            self.disappeared += 1
        seen.shown = now
        self.views += 1
        self.documents += len(documents)

    def _near(self) -> dict[str, Any]:
        """Nearness ranks; it must not open a door."""
        vector = [self._chance.uniform(-1, 1) for _ in range(_DIMENSIONS)]
        return {"knn": {"field": "embedding", "query_vector": vector, "k": 10, "num_candidates": 50}, "size": 10}

    def _search(self, searches: Sequence[tuple[str, Mapping[str, Any]]]) -> list[list[Document]]:
        """Search through tenants' aliases, all in one request."""
        lines: list[object] = []
        for tenant, body in searches:
            lines += [{"index": tenant_alias(self._alias, tenant)}, {**body, "version": True, "_source": _WANTED}]
        answers = call_lines(f"{self._url}/_msearch", lines)["responses"]
        if any(one.get("error") or one["_shards"]["failed"] for one in answers):
            raise OSError("not every shard did answer")
        return [
            [Document(hit["_id"], hit["_routing"], hit["_version"], hit["_source"]) for hit in one["hits"]["hits"]]
            for one in answers
        ]

    def _check_tenant(self, tenant: str, found: Document) -> None:
        if found.body.get("sync", {}).get("deleted"):
            self._report.violation(f"{tenant} sees the tombstone {found.id}")
        elif owners(found) != {tenant}:
            self._report.violation(f"{tenant} sees {found.id} of {sorted(owners(found))}")

    def _check_place(self, found: Document) -> None:
        """Read past all views: a document that is in the wrong place is there even if no filter shows it."""
        if not found.body["sync"].get("deleted") and len(owners(found)) != 1:
            self._report.violation(f"{found.id} is at {found.routing}, and is of {sorted(owners(found))}")

    def _check_version(self, found: Document) -> None:
        highest = self._versions.get(found.id, 0)
        if found.version < highest:
            self._report.violation(f"{found.id} fell from version {highest} to {found.version}")
        self._versions[found.id] = max(highest, found.version)


def owners(found: Document) -> set[str]:
    """Everything that says whose document it is: one tenant, if all is well."""
    body = found.body
    return {found.id.partition("/")[0], found.routing, body.get("tenant", "nobody"), body.get("tags", ["nobody"])[0]}


def revision(found: Document) -> int:
    return int(found.body["tags"][1])
