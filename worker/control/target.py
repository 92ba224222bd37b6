"""Before the worker consumes anything: is the write target there, and does it fit the model?"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, assert_never

from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.ports import IndexAdmin
from worker.settings import ElasticsearchSettings, Settings
from worker.stages.documents import SYNC_FIELD, SYNC_FIELDS
from worker.stages.findings import Finding, failure
from worker.stages.index_state import IndexState, Json, plain_settings
from worker.stages.vectors import full_precision

_VECTOR = "embedding"
_FULL: Final = "read_only_allow_delete"
_BLOCKS: Final = ("write", "read_only", _FULL)


async def check_alias(admin: IndexAdmin, settings: Settings) -> str:
    """Check what can be checked of the write alias before the model is loaded: that it can be reached and is one.

    Returns the name of its write index.

    Raises:
        OperatorError: the worker could not write: one sentence that says what to change.
    """
    alias = settings.index.writer_alias
    with explained(settings.elasticsearch):
        indices = await admin.indices([alias])
    index = _write_index(alias, indices)
    _check_routing(alias, index, indices[index])
    return index


async def check_target(admin: IndexAdmin, settings: Settings, dimensions: int, model: str) -> list[str]:
    """Check the write alias and its index against the embedder; return warnings, each one sentence for the log.

    `dimensions` and `model` are the embedder's. Needs `view_index_metadata` on the write alias, and nothing else.

    Raises:
        OperatorError: the worker could not write: one sentence that says what to change.
    """
    alias = settings.index.writer_alias
    with explained(settings.elasticsearch):
        indices = await admin.indices([alias])
    index = _write_index(alias, indices)
    mappings = indices[index].mappings
    _check_routing(alias, index, indices[index])
    if missing := missing_sync_fields(mappings):
        raise lacking(index, missing)
    _check_vector(index, mappings, dimensions)
    return _model_warnings(index, mappings, model)


def block_findings(name: str, index: IndexState) -> Iterator[Finding]:
    """Yield the blocks that keep documents out; Elasticsearch sets the last one itself where a disk is full."""
    settings = plain_settings(index.settings)
    if found := [one for one in _BLOCKS if settings.get(f"index.blocks.{one}") == "true"]:
        yield failure(
            "write block",
            f"{name} has index.blocks.{' and '.join(found)}: the worker halts until it is lifted",
            "free the disk, where it was set for that" if found == [_FULL] else f"set it to null on {name}",
        )


def _write_index(alias: str, indices: Mapping[str, IndexState]) -> str:
    if not indices:
        raise OperatorError(
            f"the write alias {alias} does not exist: create it with 'syncline apply', or mend index.alias"
        )
    if alias in indices:
        raise OperatorError(
            f"{alias} is an index, but must be an alias: set index.write_alias to another name, "
            "or remove that index if nothing needs it"
        )
    flags = {index: state.aliases.get(alias, {}).get("is_write_index") for index, state in indices.items()}
    # Elasticsearch takes a lone index for the write index unless it is flagged as not being one.
    writable = [index for index, flag in flags.items() if flag is True or (flag is None and len(flags) == 1)]
    if len(writable) != 1:
        raise OperatorError(
            f"the write alias {alias} has no write index among {', '.join(sorted(indices))}: "
            "set is_write_index for one of them"
        )
    return writable[0]


def _check_routing(alias: str, index: str, state: IndexState) -> None:
    if (fixed := state.aliases.get(alias, {}).get("index_routing")) is not None:
        raise OperatorError(
            f"the write alias {alias} has the fixed routing {fixed!r} and would refuse other tenants: "
            "add the alias again without routing"
        )
    routing = state.mappings.get("_routing")
    if not isinstance(routing, Mapping) or str(routing.get("required", False)).lower() != "true":
        raise OperatorError(
            f"the mapping of {index} does not require routing, so tenants would not be kept apart: "
            "write to an index that has _routing.required, such as 'syncline apply' creates"
        )


def _check_vector(index: str, mappings: Json, dimensions: int) -> None:
    properties = mappings.get("properties")
    field = properties.get(_VECTOR) if isinstance(properties, Mapping) else None
    if not isinstance(field, Mapping) or field.get("type") != "dense_vector":
        raise OperatorError(
            f"the mapping of {index} has no dense_vector field {_VECTOR!r}: "
            "write to an index with one, such as 'syncline apply' creates"
        )
    found = field.get("dims")
    if str(found) != str(dimensions):
        raise OperatorError(
            f"{index} takes vectors of {found} dimensions and the model makes {dimensions}: "
            "set embedding.model to the model the index was made for, or build a new index for this one"
        )


def missing_sync_fields(mappings: Json) -> list[str]:
    """Return the fields below `sync` for whose lack an index, of an earlier version maybe, would refuse a write."""
    properties = mappings.get("properties")
    sync = properties.get(SYNC_FIELD) if isinstance(properties, Mapping) else None
    if not isinstance(sync, Mapping):
        return []
    strict = str(sync.get("dynamic", mappings.get("dynamic"))).lower() == "strict"
    fields = sync.get("properties")
    return [name for name in SYNC_FIELDS if name not in fields] if strict and isinstance(fields, Mapping) else []


def lacking(index: str, names: Iterable[str]) -> OperatorError:
    """Return the sentence about fields below `sync` that an index lacks."""
    fields = [f"'{SYNC_FIELD}.{name}'" for name in names]
    noun, them = ("field", "it") if len(fields) == 1 else ("fields", "them")
    return OperatorError(
        f"the mapping of {index} has no {noun} {', '.join(fields)}: "
        f"run 'syncline apply', which adds {them} from index.definition"
    )


def _model_warnings(index: str, mappings: Json, model: str) -> list[str]:
    meta = mappings.get("_meta")
    named = meta.get("model") if isinstance(meta, Mapping) else None
    if not isinstance(named, str):
        return [f"the mapping of {index} does not say in _meta.model which model its vectors come from"]
    # Quantised vectors are less exact, but lie among the others.
    model = full_precision(model)
    # A definition that names no revision is content with any.
    ours = model if "@" in named else model.partition("@")[0]
    if ours == named:
        return []
    return [f"{index} was made for vectors of {named}, the worker makes them with {model}: do not mix them"]


@contextlib.contextmanager
def explained(elasticsearch: ElasticsearchSettings) -> Iterator[None]:
    """Turn "cannot be reached" and "may not" into one sentence that names the nodes and the setting to change.

    For commands and the start, where a person waits for the answer; a worker that runs waits and retries instead.

    Raises:
        OperatorError: instead of `RetryLater` and `Halt`.
    """
    nodes = ", ".join(elasticsearch.urls)
    try:
        yield
    except RetryLater as error:
        raise OperatorError(
            f"Elasticsearch at {nodes}: {_unreachable(error.reason, elasticsearch)} ({error})"
        ) from error
    except Halt as error:
        raise OperatorError(f"Elasticsearch at {nodes}: {_refused(error.reason, elasticsearch)} ({error})") from error


def _unreachable(reason: RetryReason, elasticsearch: ElasticsearchSettings) -> str:
    match reason:
        case RetryReason.CONNECTION:
            return "no connection; check elasticsearch.hosts, http or https included, and that the server runs"
        case RetryReason.TIMEOUT:
            limit = elasticsearch.request_timeout
            return f"no answer within {limit:g} s; check elasticsearch.hosts and elasticsearch.request_timeout"
        case RetryReason.UNREADABLE_RESPONSE:
            return "what answers does not speak its protocol; check the port in elasticsearch.hosts"
        case RetryReason.REJECTED | RetryReason.SERVER_ERROR | RetryReason.NEW_CREDENTIALS:
            return "the server is not able to answer now; try again when it has recovered"
        case _:
            assert_never(reason)


def _refused(reason: HaltReason, elasticsearch: ElasticsearchSettings) -> str:
    if reason is HaltReason.UNAUTHENTICATED:
        return f"the credentials are refused; check {_credential(elasticsearch)}"
    if reason is HaltReason.FORBIDDEN:
        return f"the privileges do not suffice; grant them to the owner of {_credential(elasticsearch)}"
    return "the request is refused"


def _credential(elasticsearch: ElasticsearchSettings) -> str:
    """Name the setting that holds the secret in use."""
    if elasticsearch.api_key_file is not None:
        return f"elasticsearch.api_key_file ({elasticsearch.api_key_file})"
    if elasticsearch.api_key is not None:
        return "elasticsearch.api_key"
    if elasticsearch.username is not None:
        secret = "password_file" if elasticsearch.password_file is not None else "password"
        return f"elasticsearch.username and elasticsearch.{secret}"
    return "elasticsearch.api_key_file, or username and password_file: none is set"
