"""Reading what is stored, by id and routing, in real time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_client import JSON, ReloadingClient, describe, translated
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.ports import DocumentStore
from worker.records import Place, Stored
from worker.stages.documents import SYNC_FIELD, VECTOR_FIELD, log_place, unpacked_vector

_BARE: Final = [f"{SYNC_FIELD}.*"]
_NEEDED: Final = [*_BARE, VECTOR_FIELD]

_NOT_ALLOWED: Final = "security_exception"

# What no other try mends, by the type of an item's error.
_HALTS: Final = {
    "index_not_found_exception": HaltReason.TARGET_MISSING,
    "index_closed_exception": HaltReason.TARGET_MISCONFIGURED,
    "illegal_argument_exception": HaltReason.TARGET_MISCONFIGURED,
    "routing_missing_exception": HaltReason.TARGET_MISCONFIGURED,
    _NOT_ALLOWED: HaltReason.FORBIDDEN,
}


class ElasticStore(DocumentStore):
    """`ports.DocumentStore` on the write alias, by multi-get: real time, and routed document by document."""

    def __init__(self, client: AsyncElasticsearch, write_alias: str) -> None:
        self._client = client
        self._alias = write_alias
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
        return [_stored(answer) for answer in answers]

    async def _look_for_newer_credentials(self, answers: Sequence[Mapping[str, Any]]) -> None:
        """Privileges are checked item by item, so the client has seen nothing amiss: try what is in the file by now.

        Raises:
            RetryLater: there is something else in it.
        """
        client = self._client
        refused = [fault for answer in answers if (fault := answer.get("error")) and fault.get("type") == _NOT_ALLOWED]
        if refused and isinstance(client, ReloadingClient) and await client.has_newer_credentials():
            raise RetryLater(
                RetryReason.NEW_CREDENTIALS,
                f"Elasticsearch refuses what was in the file before: {refused[0].get('reason', '')}",
            )

    async def _multi_get(self, body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        suffix = "?_source_exclude_vectors=false" if self._asks_for_vectors else ""
        try:
            with translated():
                response = await self._client.perform_request(
                    "POST",
                    f"/{self._alias}/_mget{suffix}",
                    headers=JSON,
                    body=body,
                )
        except ApiError as error:
            if self._asks_for_vectors and error.meta.status == 400 and "exclude_vectors" in describe(error):  # noqa: PLR2004
                self._asks_for_vectors = False
                return await self._multi_get(body)
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
    body = answer.get("_source") or {}
    sync = body.get(SYNC_FIELD) or {}
    vector = body.get(VECTOR_FIELD)
    return Stored(
        version=answer["_version"],
        deleted=bool(sync.get("deleted", False)),
        text_hash=sync.get("text_hash"),
        model=sync.get("model"),
        vector=_numbers(vector),
        body=body,
        log_place=log_place(sync),
    )


def _numbers(vector: object) -> tuple[float, ...] | None:
    # An index that keeps vectors in _source (made before 9.2, or told to) gives them back as they were written.
    if isinstance(vector, str):
        return unpacked_vector(vector)
    return tuple(vector) if isinstance(vector, list) else None
