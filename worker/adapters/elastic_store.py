"""Reading what is stored, by id and routing, in real time."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_client import (
    JSON,
    NOT_ALLOWED,
    describe,
    has_newer_credentials,
    refused_before,
    translated,
)
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.ports import DocumentStore
from worker.records import Place, Stored
from worker.stages.documents import SYNC_FIELD, VECTOR_FIELD, log_place, unpacked_vector

_BARE: Final = [f"{SYNC_FIELD}.*"]
_NEEDED: Final = [*_BARE, VECTOR_FIELD]

# What no other try mends, by the type of an item's error.
_HALTS: Final = {
    "index_not_found_exception": HaltReason.TARGET_MISSING,
    "index_closed_exception": HaltReason.TARGET_MISCONFIGURED,
    "illegal_argument_exception": HaltReason.TARGET_MISCONFIGURED,
    "routing_missing_exception": HaltReason.TARGET_MISCONFIGURED,
    NOT_ALLOWED: HaltReason.FORBIDDEN,
}


class ElasticStore(DocumentStore):
    """`ports.DocumentStore` on the write alias, by multi-get: real time, and routed document by document."""

    def __init__(
        self,
        client: AsyncElasticsearch,
        write_alias: str,
        *,
        index: str | None = None,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`check` is awaited when the alias has come to lead to another index than `index`; it raises what it finds."""
        self._client = client
        self._alias = write_alias
        self._index = index
        self._check = check
        # From 9.2 on, vectors are left out of _source unless asked for; older servers refuse the very question.
        self._asks_for_vectors = True

    @override
    async def stored(
        self, places: Sequence[Place], whole: Collection[Place] = (), bare: Collection[Place] = ()
    ) -> Sequence[Stored | None]:
        """Return what is stored at each place, in order."""
        if not places:
            return []
        body = {"docs": [_question(place, whole, bare) for place in places]}
        answers = await self._multi_get(body)
        if len(answers) != len(places):
            raise RetryLater(
                RetryReason.UNREADABLE_RESPONSE, f"asked for {len(places)} documents, the answer has {len(answers)}"
            )
        await self._look_for_newer_credentials(answers)
        found = [_stored(answer) for answer in answers]
        await self._check_index(answers[0].get("_index"))  # of an answer that is an error it would be the alias' name
        return found

    async def _look_for_newer_credentials(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Try what is in the file by now, where an item is refused.

        Raises:
            RetryLater: there is something else in it.
        """
        refused = [fault for answer in answers if (fault := answer.get("error")) and fault.get("type") == NOT_ALLOWED]
        if refused and await has_newer_credentials(self._client):
            raise refused_before(refused[0].get("reason", ""))

    async def _check_index(self, index: str | None) -> None:
        """Every lookup tells the index behind the alias, before anything is embedded for it or written to it."""
        if self._check is not None and index is not None and index != self._index:
            await self._check()
            self._index = index

    async def _multi_get(self, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if self._asks_for_vectors:
            try:
                return await self._asked("?_source_exclude_vectors=false", body)
            except Halt as halt:
                if halt.reason is not HaltReason.TARGET_MISCONFIGURED:
                    raise
            # Not every server says what it refuses: it was the question, if it answers without.
            answers = await self._asked("", body)
            self._asks_for_vectors = False
            return answers
        return await self._asked("", body)

    async def _asked(self, suffix: str, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        try:
            with translated():
                response = await self._client.perform_request(
                    "POST",
                    f"/{self._alias}/_mget{suffix}",
                    headers=JSON,
                    body=body,
                )
        except ApiError as error:
            raise Halt(HaltReason.TARGET_MISCONFIGURED, f"{self._alias}: {describe(error)}") from error
        # What stands between here and Elasticsearch may answer in its place, with a page of its own.
        answers = response.body.get("docs") if isinstance(response.body, Mapping) else None
        if not isinstance(answers, list):
            raise RetryLater(RetryReason.UNREADABLE_RESPONSE, "the answer to a lookup holds no documents")
        return answers


def _question(place: Place, whole: Collection[Place], bare: Collection[Place]) -> dict[str, Any]:
    source = {} if place in whole else {"_source": _BARE if place in bare else _NEEDED}
    return {"_id": place.document_id, "routing": place.tenant, **source}


def _stored(answer: Mapping[str, Any]) -> Stored | None:
    if fault := answer.get("error"):
        kind = fault.get("type", "")
        message = f"lookup of a document failed: {kind}: {fault.get('reason', '')}"
        if (reason := _HALTS.get(kind)) is not None:
            raise Halt(reason, message)
        raise RetryLater(RetryReason.SERVER_ERROR, message)
    if not answer.get("found"):
        return None
    if (body := answer.get("_source")) is None:
        raise Halt(
            HaltReason.TARGET_MISCONFIGURED,
            f"{answer.get('_index')} keeps no _source: values that a change leaves out could not be taken from there. "
            "Write to an index that has it, such as 'syncline apply' creates",
        )
    known = body.get(SYNC_FIELD)
    sync: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
    vector = body.get(VECTOR_FIELD)
    return Stored(
        version=_version(answer["_version"], sync.get("version")),
        deleted=bool(sync.get("deleted", False)),
        text_hash=sync.get("text_hash"),
        model=sync.get("model"),
        vector=_numbers(vector),
        body=body,
        log_place=log_place(sync),
    )


def _version(of_document: int, ours: object) -> int:
    """The higher one: a copy that was not made with `version_type: external` counts its documents' versions from 1."""
    return max(of_document, ours) if isinstance(ours, int) else of_document


def _numbers(vector: object) -> tuple[float, ...] | None:
    # An index that keeps vectors in _source (made before 9.2, or told to) gives them back as they were written.
    if isinstance(vector, str):
        return unpacked_vector(vector)
    return tuple(vector) if isinstance(vector, list) else None
