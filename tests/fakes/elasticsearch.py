"""One index in memory, written to by bulk, read by multi-get and searched, with faults to order.

It parses the very bytes that a server would get, and keeps documents by id and routing: as an index of many shards
does, where one id may live once under each routing.
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from typing_extensions import override

from worker.errors import Halt, HaltReason
from worker.ports import DocumentStore, Locator, RequestTooLargeError, Sink, SourcePage, Tombstones
from worker.records import ItemResponse, OldTombstone, Place, Removal, RowPlace, Stored
from worker.stages.documents import log_place, stands_behind, unpacked_vector

_MAX_ID_BYTES = 512
_TOP_LEVEL = {"tenant", "title", "content", "tags", "url", "published", "embedding", "sync"}

REJECTED = ItemResponse(429, "es_rejected_execution_exception", "rejected execution of coordinating operation")
UNAVAILABLE = ItemResponse(503, "unavailable_shards_exception", "primary shard is not active")
UNPARSABLE = ItemResponse(400, "document_parsing_exception", "failed to parse field [published] of type [date]")
FLOOD_STAGE = ItemResponse(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark")


@dataclass(frozen=True, slots=True)
class Held:
    """One document as the index holds it."""

    version: int
    body: Mapping[str, Any]

    @property
    def deleted(self) -> bool:
        return bool(self.body.get("sync", {}).get("deleted"))


@dataclass(frozen=True, slots=True)
class _Fault:
    error: Exception
    applied: bool


class _Item(NamedTuple):
    action: Mapping[str, Any]
    document: Mapping[str, Any] | None
    data: bytes


def _items(body: bytes) -> list[_Item]:
    lines = body.split(b"\n")
    assert lines.pop() == b"", "a bulk body ends with a line feed"
    rest = iter(lines)
    items = []
    for line in rest:
        ((kind, action),) = orjson.loads(line).items()
        document = next(rest) if kind == "index" else None
        data = b"%b\n" % line if document is None else b"%b\n%b\n" % (line, document)
        items.append(_Item(action, None if document is None else orjson.loads(document), data))
    return items


async def _at_once(_places: Sequence[Place]) -> None:
    return


async def _at_once_keys(_keys: Sequence[str]) -> None:
    return


class FakeElasticsearch(Sink, DocumentStore, Locator, Tombstones):
    def __init__(
        self,
        alias: str = "articles-write",
        *,
        dimensions: int = 8,
        max_bytes: int = 1 << 26,
        packs_vectors: bool = False,
    ) -> None:
        """A body of more than `max_bytes` is refused with 413."""
        self.documents: dict[Place, Held] = {}
        self.remembered: dict[Place, int] = {}
        """Versions of what was deleted in earnest; a test clears it as `index.gc_deletes` does."""
        self.alias_exists = True
        self.index_in_place_of_alias = False
        """A delete has created an index that has the write alias' name."""
        self.max_bytes = max_bytes
        self._packs_vectors = packs_vectors
        self.before_bulk: Callable[[Sequence[Place]], Awaitable[None]] = _at_once
        """Awaited before a bulk request does anything: latency, or a gate that a test holds."""
        self.before_lookup: Callable[[Sequence[Place]], Awaitable[None]] = _at_once
        self.sequences: dict[Place, int] = {}
        """The sequence number of what was written last at each place."""
        self.requests: list[list[bytes]] = []
        """The items of every bulk request that came, each with both its lines."""
        self.lookups: list[list[Place]] = []
        self.vectors_asked_for: list[set[Place]] = []
        """For every lookup the places whose vectors were to come along."""
        self.searchable: dict[Place, Held] = {}
        """What a search sees: the documents as they were at the last refresh."""
        self.refreshes = 0
        self.page = 3
        """Documents in one page of a source."""
        self.sweeps: list[str] = []
        """The sources of whose documents a page was asked for."""
        self.searches: list[list[str]] = []
        """The keys of every search that came."""
        self.before_locate: Callable[[Sequence[str]], Awaitable[None]] = _at_once_keys
        """Awaited before a refresh, without keys, or a search does anything."""
        self.writes = 0
        """Documents written or overwritten; a conflict is none."""
        self._alias = alias
        self._dimensions = dimensions
        self._request_faults: deque[_Fault] = deque()
        self._lookup_faults: deque[Exception] = deque()
        self._locate_faults: deque[Exception] = deque()
        self._item_faults: defaultdict[str, deque[ItemResponse]] = defaultdict(deque)

    def fail_request(self, error: Exception, *, applied: bool = False) -> None:
        """Let a coming bulk request raise this: before it does anything, or when all is written (a lost reply)."""
        self._request_faults.append(_Fault(error, applied))

    def fail_item(self, document_id: str, response: ItemResponse, times: int = 1) -> None:
        """Let the coming items of one document be refused so."""
        self._item_faults[document_id].extend([response] * times)

    def fail_lookup(self, error: Exception) -> None:
        """Let a coming lookup raise this."""
        self._lookup_faults.append(error)

    def fail_locate(self, error: Exception) -> None:
        """Let a coming refresh or search raise this."""
        self._locate_faults.append(error)

    def heal(self) -> None:
        """Forget all faults that were ordered and have not happened yet."""
        self._request_faults.clear()
        self._lookup_faults.clear()
        self._locate_faults.clear()
        self._item_faults.clear()

    @property
    def live(self) -> dict[Place, Held]:
        """The documents that are no tombstones."""
        return {place: held for place, held in self.documents.items() if not held.deleted}

    @property
    @override
    def target(self) -> str:
        return self._alias

    @property
    @override
    def packs_vectors(self) -> bool:
        return self._packs_vectors

    @override
    async def bulk(self, body: bytes, count: int) -> Sequence[ItemResponse]:
        items = _items(body)
        assert len(items) == count
        self.requests.append([item.data for item in items])
        actions = [item.action for item in items]
        await self.before_bulk([_place(action) for action in actions])
        fault = self._request_faults.popleft() if self._request_faults else None
        if fault is not None and not fault.applied:
            raise fault.error
        if len(body) > self.max_bytes:
            raise RequestTooLargeError(f"request of {len(body)} bytes is over {self.max_bytes}")
        if any(len(action["_id"].encode()) > _MAX_ID_BYTES for action in actions):
            raise Halt(HaltReason.TARGET_MISCONFIGURED, "action_request_validation_exception: id is too long")
        responses = [self._apply(item.action, item.document) for item in items]
        if fault is not None:
            raise fault.error
        return responses

    def _apply(self, action: Mapping[str, Any], document: Mapping[str, Any] | None) -> ItemResponse:
        """Index a document, or delete it where `document` is None."""
        if document is None and not self.alias_exists:
            # What a real server does: a delete with a version passes by `require_alias`, and creates the index.
            self.index_in_place_of_alias = True
            return ItemResponse(404)
        if not self.alias_exists or action["_index"] != self._alias:
            reason = f"no such index [{action['_index']}] and [require_alias] request flag is [true]"
            return ItemResponse(404, "index_not_found_exception", reason)
        if faults := self._item_faults.get(action["_id"]):
            return faults.popleft()
        if document is not None and (refusal := self._refusal(document)):
            return refusal
        place = _place(action)
        held = self.documents.get(place)
        current = self.remembered.get(place) if held is None else held.version
        version: int = action["version"]
        if current is not None and not _may_replace(current, version, action["version_type"]):
            reason = f"[{place.document_id}]: version conflict, current version [{current}] is not below [{version}]"
            return ItemResponse(409, "version_conflict_engine_exception", reason)
        self.writes += 1
        self.sequences[place] = self.writes
        if document is None:
            self.documents.pop(place, None)
            self.remembered[place] = version
            return ItemResponse(404 if held is None else 200)
        self.remembered.pop(place, None)
        self.documents[place] = Held(version, document)
        return ItemResponse(201 if held is None else 200)

    def _refusal(self, document: Mapping[str, Any]) -> ItemResponse | None:
        if unknown := document.keys() - _TOP_LEVEL:
            return ItemResponse(400, "strict_dynamic_mapping_exception", f"introduction of {unknown} is not allowed")
        vector = _numbers(document.get("embedding"))
        if vector is not None and (len(vector) != self._dimensions or not any(vector)):
            return ItemResponse(400, "document_parsing_exception", "the vector has other dimensions, or is zero")
        return None

    @override
    async def probe(self) -> None:
        if not self.alias_exists:
            raise Halt(HaltReason.TARGET_MISSING, f"alias [{self._alias}] missing")

    @override
    async def stored(
        self, places: Sequence[Place], whole: Collection[Place] = (), bare: Collection[Place] = ()
    ) -> Sequence[Stored | None]:
        self.lookups.append(list(places))
        self.vectors_asked_for.append({*places} - ({*bare} - {*whole}))
        await self.before_lookup(places)
        if self._lookup_faults:
            raise self._lookup_faults.popleft()
        if places and not self.alias_exists:
            raise Halt(HaltReason.TARGET_MISSING, f"no such index [{self._alias}]")
        return [self._stored(place, whole, bare) for place in places]

    def _stored(self, place: Place, whole: Collection[Place], bare: Collection[Place]) -> Stored | None:
        held = self.documents.get(place)
        if held is None:
            return None
        sync = held.body.get("sync", {})
        needed = {name: value for name, value in held.body.items() if name in {"sync", "embedding"}}
        if place in bare:
            needed.pop("embedding", None)
        body = held.body if place in whole else needed
        vector = _numbers(body.get("embedding"))
        return Stored(
            version=max(held.version, sync.get("version", 0)),
            deleted=held.deleted,
            text_hash=sync.get("text_hash"),
            model=sync.get("model"),
            vector=None if vector is None else tuple(vector),
            body=body,
            log_place=log_place(sync),
        )

    @override
    async def refresh(self) -> None:
        await self._before_locate(())
        self.refreshes += 1
        self.searchable = dict(self.documents)

    @override
    async def places(self, keys: Sequence[str]) -> Mapping[str, frozenset[Place]]:
        self.searches.append(list(keys))
        await self._before_locate(keys)
        found: defaultdict[str, set[Place]] = defaultdict(set)
        for place, held in self.searchable.items():
            if not held.deleted and (key := held.body["sync"].get("key", "")) in keys:
                found[key].add(place)
        return {key: frozenset(places) for key, places in found.items()}

    @override
    async def of_source(self, source: str, below: int, after: RowPlace | None) -> SourcePage:
        self.sweeps.append(source)
        await self._before_locate([source])
        found = sorted(
            (
                RowPlace(held.body["sync"]["key"], place)
                for place, held in self.searchable.items()
                if not held.deleted and held.body["sync"]["source"] == source and held.version < below
                if not stands_behind(held.body["sync"], below)
            ),
            key=_in_order,
        )
        rest = [one for one in found if after is None or _in_order(one) > _in_order(after)]
        page = rest[: self.page]
        return SourcePage(page, page[-1] if len(page) == self.page else None)

    async def _before_locate(self, keys: Sequence[str]) -> None:
        await self.before_locate(keys)
        if self._locate_faults:
            raise self._locate_faults.popleft()
        if not self.alias_exists:
            raise Halt(HaltReason.TARGET_MISSING, f"no such index [{self._alias}]")

    @override
    async def found(self, before_ms: int, size: int) -> AsyncIterator[Sequence[OldTombstone]]:
        if not self.alias_exists:
            raise Halt(HaltReason.TARGET_MISSING, f"no such index [{self._alias}]")
        old = self._old(before_ms)
        while old:
            yield old[:size]
            old = old[size:]

    def _old(self, before_ms: int) -> list[OldTombstone]:
        return [
            OldTombstone("articles-v000001", *place, self.sequences[place], 1, held.body["sync"]["deleted_at"])
            for place, held in self.documents.items()
            if held.deleted and held.body["sync"]["deleted_at"] < before_ms
        ]

    @override
    async def remove(self, tombstones: Sequence[OldTombstone]) -> Sequence[tuple[Removal, str]]:
        return [self._remove(one) for one in tombstones]

    def _remove(self, tombstone: OldTombstone) -> tuple[Removal, str]:
        place = Place(tombstone.document_id, tombstone.routing)
        if faults := self._item_faults.get(tombstone.document_id):
            fault = faults.popleft()
            return Removal.FAILED, f"{fault.error_type}: {fault.reason}"
        held = self.documents.get(place)
        if held is None or self.sequences[place] != tombstone.sequence:
            return Removal.CHANGED, ""
        # A delete that names no version raises it by one, and that is what the server remembers.
        self.remembered[place] = held.version + 1
        del self.documents[place]
        return Removal.REMOVED, ""

    @override
    async def close(self) -> None:
        return


def _in_order(one: RowPlace) -> tuple[str, str]:
    return one.key, one.place.tenant


def _numbers(vector: Any) -> Any:  # noqa: ANN401 - as it is in a body
    return unpacked_vector(vector) if isinstance(vector, str) else vector


def _place(action: Mapping[str, Any]) -> Place:
    return Place(action["_id"], action["routing"])


def _may_replace(held: int, given: int, version_type: str) -> bool:
    return given >= held if version_type == "external_gte" else given > held
