"""Indices, aliases and templates, described and created: the control side of Elasticsearch."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from elastic_transport import ConnectionError as ClientConnectionError
from elastic_transport import TlsError
from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError
from typing_extensions import override

from worker.adapters.elastic_answers import readable
from worker.adapters.elastic_client import describe, translated
from worker.errors import OperatorError, RetryLater, RetryReason
from worker.ports import IndexAdmin
from worker.stages.documents import SYNC_FIELD
from worker.stages.index_state import IndexDefinition, IndexState, Json

# The header that every answer of Elasticsearch carries, errors included.
_PRODUCT: Final = "x-elastic-product"
# What a server says to a client of a newer major version than it knows.
_UNKNOWN_CLIENT: Final = "media_type_header_exception"


class ElasticAdmin(IndexAdmin):
    """`ports.IndexAdmin`. Owns the client it is given: `close` closes it."""

    def __init__(self, client: AsyncElasticsearch) -> None:
        self._client = client

    @override
    async def indices(self, names: Sequence[str]) -> Mapping[str, IndexState]:
        if not names:
            raise ValueError("no names: Elasticsearch would describe every index there is")
        with _explained("describe the index"):
            found = await self._client.indices.get(index=list(names), ignore_unavailable=True)
        return {
            index: IndexState(
                aliases=body.get("aliases", {}), settings=body.get("settings", {}), mappings=body.get("mappings", {})
            )
            for index, body in readable(found).items()
        }

    @override
    async def component_template(self, name: str) -> Json | None:
        with _explained("read the component template"), contextlib.suppress(NotFoundError):
            found = await self._client.cluster.get_component_template(name=name)
            return _only(found.body["component_templates"], name, "component_template")
        return None

    @override
    async def index_template(self, name: str) -> Json | None:
        with _explained("read the index template"), contextlib.suppress(NotFoundError):
            found = await self._client.indices.get_index_template(name=name)
            return _only(found.body["index_templates"], name, "index_template")
        return None

    @override
    async def put_component_template(self, name: str, body: Json) -> None:
        with _explained(f"put the component template {name}"):
            await self._client.cluster.put_component_template(name=name, **_parameters(body))

    @override
    async def put_index_template(self, name: str, body: Json) -> None:
        with _explained(f"put the index template {name}"):
            await self._client.indices.put_index_template(name=name, **_parameters(body))

    @override
    async def create_index(self, name: str, definition: IndexDefinition, aliases: Mapping[str, Json]) -> None:
        with _explained(f"create the index {name}"):
            await self._client.indices.create(
                index=name, settings=definition.settings, mappings=definition.mappings, aliases=aliases
            )

    @override
    async def add_sync_fields(self, index: str, fields: Json) -> None:
        with _explained(f"add fields of {SYNC_FIELD} to {index}"):
            await self._client.indices.put_mapping(index=index, properties={SYNC_FIELD: {"properties": fields}})

    @override
    async def add_aliases(self, index: str, aliases: Mapping[str, Json]) -> None:
        actions = [{"add": {"index": index, "alias": alias, **body}} for alias, body in aliases.items()]
        with _explained(f"add aliases to {index}"):
            await self._client.indices.update_aliases(actions=actions)

    @override
    async def close(self) -> None:
        await self._client.close()


def _parameters(body: Json) -> dict[str, Any]:
    # The client takes `_meta` as `meta`, because a Python parameter does not begin with an underscore.
    return {name.lstrip("_"): value for name, value in body.items()}


def _only(templates: Sequence[Mapping[str, Any]], name: str, kind: str) -> Json | None:
    return next((template[kind] for template in templates if template["name"] == name), None)


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what the server refuses into an `OperatorError`; `NotFoundError` passes inside, for the caller to catch."""
    try:
        with translated():
            yield
    except ApiError as error:
        raise _refused(what, error) from error
    except (RetryLater, OperatorError) as error:
        raise _with_cause(error) from error


def _with_cause(error: RetryLater | OperatorError) -> RetryLater | OperatorError:
    """Say which host and why: as text the client's errors are only "Connection error" or "TLS error"."""
    match error.__cause__:
        case TlsError(message=message):
            return OperatorError(
                f"no trusted connection to Elasticsearch: {message}; check https or http in elasticsearch.hosts, "
                "and elasticsearch.ca_file or fingerprint"
            )
        case ClientConnectionError(message=message):
            return RetryLater(RetryReason.CONNECTION, str(message))
        case _:
            return error


def _refused(what: str, error: ApiError) -> OperatorError:
    if _PRODUCT not in error.meta.headers:
        return OperatorError("elasticsearch.hosts: what answers there is not Elasticsearch: check address and port")
    reason = describe(error)
    if _UNKNOWN_CLIENT in reason:
        return OperatorError(
            "the Elasticsearch server is of an older major version than the client of this installation: "
            "install 'elasticsearch[async]>=8.19,<9', which talks to both"
        )
    return OperatorError(f"Elasticsearch refuses to {what}: {reason}")
