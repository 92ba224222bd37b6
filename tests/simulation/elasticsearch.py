"""One index of several shards on a server that takes its time, loses replies and applies late what it was sent.

A document is unique by its id within a shard, and routing chooses the shard. Versions, `gc_deletes` and refresh follow
what a real server was seen to do; tests/contract runs its suites on this one too.
"""

import asyncio
import math
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from typing_extensions import override

from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.ports import DocumentStore, Locator, RequestTooLargeError, Sink, SourcePage
from worker.records import ItemResponse, Place, RowPlace, Stored
from worker.stages.documents import log_place, stands_behind

REQUEST_SECONDS: Final = 5.0
"""After which a client gives a request up; the server does not."""
POISON: Final = "poison"
"""A title that no mapping takes."""
_MAX_ID_BYTES: Final = 512
_PAGE: Final = 3
"""Documents in one page of a search: few, so that tests turn pages."""
_FIELDS: Final = {"tenant", "title", "content", "tags", "url", "published", "embedding", "sync"}

REJECTED = ItemResponse(429, "es_rejected_execution_exception", "rejected execution of coordinating operation")
UNAVAILABLE = ItemResponse(503, "unavailable_shards_exception", "primary shard is not active")
BLOCKED = ItemResponse(403, "cluster_block_exception", "index [articles] blocked by: [FORBIDDEN/8/index write (api)]")


@dataclass(frozen=True, slots=True)
class Document:
    """What a shard holds under an id; after a real delete nothing but the version, for a while."""

    routing: str
    version: int
    body: Mapping[str, Any] | None
    at: float

    @property
    def tombstone(self) -> bool:
        return self.body is None or bool(self.body.get("sync", {}).get("deleted"))


@dataclass(frozen=True, slots=True)
class BulkFault:
    """How one bulk request goes wrong.

    `kind`: `refused` (429), `unavailable` (503), `cut` (the connection breaks before the server has read it), `lost`
    (the reply is lost), `garbled` (the reply cannot be read), `late` (applied after the client has given up), `items`
    (some items are refused), `half` (some items are applied, but reported as failed).
    """

    kind: str


_REQUEST_FAULTS: Final = {
    "refused": RetryLater(RetryReason.REJECTED, "429: too many requests"),
    "unavailable": RetryLater(RetryReason.SERVER_ERROR, "503: no master"),
    "cut": RetryLater(RetryReason.CONNECTION, "connection reset"),
}
_REPLY_FAULTS: Final = {
    "lost": RetryLater(RetryReason.CONNECTION, "connection reset while reading"),
    "garbled": RetryLater(RetryReason.UNREADABLE_RESPONSE, "the response is no JSON"),
}

OnWrite = Callable[[Place, Document | None, Document], object]


class Server:
    """The index; it belongs to no process."""

    def __init__(
        self,
        alias: str = "articles-write",
        *,
        shards: int = 1,
        dimensions: int = 4,
        gc_deletes: float = 60.0,
        max_bytes: int = 1 << 26,
        refresh_seconds: float = 1.0,
    ) -> None:
        self.alias = alias
        self.alias_exists = True
        self.down = False
        self.blocked = False
        self.gc_deletes = gc_deletes
        self.max_bytes = max_bytes
        self.writes = 0
        self._refresh_seconds = refresh_seconds
        self._dimensions = dimensions
        self.on_write: list[OnWrite] = []
        self._shards: list[dict[str, Document]] = [{} for _ in range(shards)]
        self._searchable: list[dict[str, Document]] = [{} for _ in range(shards)]
        self._unrefreshed: list[tuple[int, str, Document]] = []

    def shard_of(self, routing: str) -> int:
        return zlib.crc32(routing.encode()) % len(self._shards)

    def get(self, place: Place) -> Document | None:
        """Return what a real-time get with this id and routing finds: on the shard, whatever its own routing is."""
        held = self._shards[self.shard_of(place.tenant)].get(place.document_id)
        forgotten = held is not None and held.body is None and _now() - held.at > self.gc_deletes
        return None if forgotten else held

    @property
    def live(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Every document that is no tombstone, by id and routing."""
        return {
            (document_id, held.routing): held.body
            for shard in self._shards
            for document_id, held in shard.items()
            if held.body is not None and not held.tombstone
        }

    def index(self, action: Mapping[str, Any], body: Mapping[str, Any]) -> ItemResponse:
        """Apply one `index` item."""
        if not self.alias_exists or action["_index"] != self.alias:
            reason = f"no such index [{action['_index']}] and [require_alias] request flag is [true]"
            return ItemResponse(404, "index_not_found_exception", reason)
        if self.blocked:
            return BLOCKED
        if refusal := _refusal(body, self._dimensions):
            return refusal
        return self._write(action, body)

    def delete(self, action: Mapping[str, Any]) -> ItemResponse:
        """Apply one `delete` item."""
        response = self._write(action, None)
        # Created, that is: there was nothing but a version to remember.
        return response if response.status != 201 else ItemResponse(404)

    def _write(self, action: Mapping[str, Any], body: Mapping[str, Any] | None) -> ItemResponse:
        place = Place(action["_id"], action["routing"])
        held = self.get(place)
        version = action.get("version")
        if version is None:
            version = 1 if held is None else held.version + 1
        elif held is not None and not _may_replace(held.version, version, action["version_type"]):
            reason = f"[{place.document_id}]: current version [{held.version}] is not below [{version}]"
            return ItemResponse(409, "version_conflict_engine_exception", reason)
        document = Document(place.tenant, version, body, _now())
        shard = self.shard_of(place.tenant)
        self._shards[shard][place.document_id] = document
        self._unrefreshed.append((shard, place.document_id, document))
        self.writes += 1
        for listener in self.on_write:
            listener(place, held, document)
        return ItemResponse(201 if held is None or held.body is None else 200)

    def refresh(self) -> None:
        """Make all writes visible to searches."""
        self._refresh_until(math.inf)

    def _refresh_on_time(self) -> None:
        self._refresh_until(math.floor(_now() / self._refresh_seconds) * self._refresh_seconds)

    def _refresh_until(self, moment: float) -> None:
        done = 0
        for shard, document_id, document in self._unrefreshed:
            if document.at > moment:
                break
            self._searchable[shard][document_id] = document
            done += 1
        del self._unrefreshed[:done]

    def search(self, tenant: str) -> list[Document]:
        """Return what a reader of one tenant finds: routed, filtered by the field, as of the last refresh."""
        self._refresh_on_time()
        found = self._searchable[self.shard_of(tenant)].values()
        return [one for one in found if one.body is not None and one.body.get("tenant") == tenant]

    def places(self, keys: Collection[str]) -> dict[str, frozenset[Place]]:
        """Return what a search for source keys finds on all shards, tombstones apart."""
        self._refresh_on_time()
        found: dict[str, frozenset[Place]] = {}
        for shard in self._searchable:
            for document_id, held in shard.items():
                if held.body is not None and not held.tombstone and (key := held.body["sync"]["key"]) in keys:
                    found[key] = found.get(key, frozenset()) | {Place(document_id, held.routing)}
        return found

    def of_source(self, source: str, below: int) -> list[RowPlace]:
        """Return what a search for a source's documents below a version finds, tombstones apart, in order."""
        self._refresh_until(math.floor(_now()))
        found = [
            RowPlace(held.body["sync"]["key"], Place(document_id, held.routing))
            for shard in self._searchable
            for document_id, held in shard.items()
            if held.body is not None and not held.tombstone
            if held.body["sync"]["source"] == source and held.version < below
            if not stands_behind(held.body["sync"], below)
        ]
        return sorted(found, key=lambda one: (one.key, one.place))


class Connection(Sink, DocumentStore, Locator):
    """One worker's client of the server."""

    def __init__(
        self,
        server: Server,
        *,
        delay: Callable[[str], float] = lambda _what: 0.0,
        faults: Callable[[], BulkFault | None] = lambda: None,
        lookup_faults: Callable[[], bool] = lambda: False,
        choose: Callable[[int], int] = lambda _count: 0,
    ) -> None:
        """`delay` gives seconds for each step of a request, `faults` what goes wrong with the next bulk request,
        `lookup_faults` whether the next lookup, refresh or search fails; `choose` draws a number below its argument.
        """
        self.cut = False
        self._server = server
        self._delay = delay
        self._faults = faults
        self._lookup_faults = lookup_faults
        self._choose = choose

    @property
    @override
    def target(self) -> str:
        return self._server.alias

    @property
    @override
    def packs_vectors(self) -> bool:
        return False

    @override
    async def bulk(self, body: bytes, count: int) -> Sequence[ItemResponse]:
        items = _items(body)
        assert len(items) == count
        self._refuse_the_dead()
        server, fault = self._server, self._faults()
        kind = "" if fault is None else fault.kind
        if server.down:
            raise RetryLater(RetryReason.CONNECTION, "connection refused")
        if kind in _REQUEST_FAULTS:
            await _pause(self._delay("bulk"))
            raise _REQUEST_FAULTS[kind]
        if len(body) > server.max_bytes:
            raise RequestTooLargeError(f"request of {len(body)} bytes is over {server.max_bytes}")
        if any(len(action["_id"].encode()) > _MAX_ID_BYTES for _, action, _ in items):
            raise Halt(HaltReason.TARGET_MISCONFIGURED, "action_request_validation_exception: id is too long")
        replied = self._send(items, kind)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                responses = await replied
        except TimeoutError:
            raise RetryLater(RetryReason.TIMEOUT, f"no answer within {REQUEST_SECONDS:g} s") from None
        await _pause(self._delay("reply"))
        self._refuse_the_dead()
        if kind in _REPLY_FAULTS:
            raise _REPLY_FAULTS[kind]
        if server.down:
            raise RetryLater(RetryReason.CONNECTION, "connection reset")
        return responses

    def _send(self, items: Sequence["_Item"], kind: str) -> "asyncio.Future[list[ItemResponse]]":
        """Let every shard apply its part in its own time, whether or not somebody still waits."""
        loop = asyncio.get_running_loop()
        replied: asyncio.Future[list[ItemResponse]] = loop.create_future()
        responses: list[ItemResponse | None] = [None] * len(items)
        by_shard: dict[int, list[int]] = {}
        for number, (_, action, _) in enumerate(items):
            by_shard.setdefault(self._server.shard_of(action["routing"]), []).append(number)
        missing = len(by_shard)

        def apply(numbers: Sequence[int]) -> None:
            nonlocal missing
            for number in numbers:
                responses[number] = self._apply(items[number], kind)
            missing -= 1
            if not missing and not replied.done():
                replied.set_result([one for one in responses if one is not None])

        for numbers in by_shard.values():
            seconds = self._delay("shard") + (REQUEST_SECONDS + self._delay("late") if kind == "late" else 0)
            if seconds:
                loop.call_later(seconds, apply, numbers)
            else:
                apply(numbers)
        return replied

    def _apply(self, item: "_Item", kind: str) -> ItemResponse:
        operation, action, document = item
        if kind == "items" and self._choose(2):
            return (REJECTED, UNAVAILABLE)[self._choose(2)]
        response = self._server.delete(action) if document is None else self._server.index(action, document)
        assert operation in {"index", "delete"}
        return UNAVAILABLE if kind == "half" and self._choose(2) else response

    @override
    async def probe(self) -> None:
        if not self._server.alias_exists:
            raise Halt(HaltReason.TARGET_MISSING, f"alias [{self._server.alias}] missing")
        if self._server.down:
            raise RetryLater(RetryReason.CONNECTION, "connection refused")
        if self._server.blocked:
            raise Halt(HaltReason.WRITE_BLOCKED, BLOCKED.reason)

    @override
    async def stored(
        self, places: Sequence[Place], whole: Collection[Place] = (), bare: Collection[Place] = ()
    ) -> Sequence[Stored | None]:
        await self._arrive("lookup", asked=bool(places))
        found = [_stored(self._server.get(place), whole=place in whole, bare=place in bare) for place in places]
        await _pause(self._delay("reply"))
        self._refuse_the_dead()
        return found

    @override
    async def refresh(self) -> None:
        await self._arrive("refresh")
        self._server.refresh()
        await _pause(self._delay("reply"))
        self._refuse_the_dead()

    @override
    async def places(self, keys: Sequence[str]) -> Mapping[str, frozenset[Place]]:
        await self._arrive("locate")
        found = self._server.places(keys)
        await _pause(self._delay("reply"))
        self._refuse_the_dead()
        return found

    @override
    async def of_source(self, source: str, below: int, after: RowPlace | None) -> SourcePage:
        await self._arrive("locate")
        found = self._server.of_source(source, below)
        await _pause(self._delay("reply"))
        self._refuse_the_dead()
        rest = [one for one in found if after is None or (one.key, one.place) > (after.key, after.place)]
        page = rest[:_PAGE]
        return SourcePage(page, page[-1] if len(page) == _PAGE else None)

    async def _arrive(self, what: str, *, asked: bool = True) -> None:
        """Let a request that reads reach the server, or fail on its way."""
        self._refuse_the_dead()
        await _pause(self._delay(what))
        self._refuse_the_dead()
        if self._server.down or self._lookup_faults():
            raise RetryLater(RetryReason.CONNECTION, "connection reset")
        if asked and not self._server.alias_exists:
            raise Halt(HaltReason.TARGET_MISSING, f"no such index [{self._server.alias}]")

    def _refuse_the_dead(self) -> None:
        if self.cut:
            raise asyncio.CancelledError

    @override
    async def close(self) -> None:
        return


_Item = tuple[str, Mapping[str, Any], Mapping[str, Any] | None]


def _items(body: bytes) -> list[_Item]:
    lines = body.split(b"\n")
    assert lines.pop() == b"", "a bulk body ends with a line feed"
    items: list[_Item] = []
    rest = iter(lines)
    for line in rest:
        ((operation, action),) = orjson.loads(line).items()
        items.append((operation, action, None if operation == "delete" else orjson.loads(next(rest))))
    return items


def _refusal(document: Mapping[str, Any], dimensions: int) -> ItemResponse | None:
    if unknown := document.keys() - _FIELDS:
        return ItemResponse(400, "strict_dynamic_mapping_exception", f"introduction of {unknown} is not allowed")
    vector = document.get("embedding")
    if vector is not None and (len(vector) != dimensions or not any(vector)):
        return ItemResponse(400, "document_parsing_exception", "the vector has other dimensions, or is zero")
    if document.get("title") == POISON:
        return ItemResponse(400, "document_parsing_exception", "failed to parse field [title]")
    return None


def _stored(held: Document | None, *, whole: bool, bare: bool) -> Stored | None:
    if held is None or held.body is None:
        return None
    sync = held.body.get("sync", {})
    vector = held.body.get("embedding") if whole or not bare else None
    needed = {name: value for name, value in held.body.items() if name == "sync" or (name == "embedding" and not bare)}
    return Stored(
        version=max(held.version, sync.get("version", 0)),
        deleted=held.tombstone,
        text_hash=sync.get("text_hash"),
        model=sync.get("model"),
        vector=None if vector is None else tuple(vector),
        body=held.body if whole else needed,
        log_place=log_place(sync),
    )


def _may_replace(held: int, given: int, version_type: str) -> bool:
    return given >= held if version_type == "external_gte" else given > held


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
