"""Before the worker consumes anything: is the write target there, and does it fit the model?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from worker.control.explaining import explained
from worker.errors import Halt, HaltReason, OperatorError, RetryLater
from worker.ports import IndexAdmin
from worker.settings import Settings
from worker.stages.documents import SYNC_FIELD, SYNC_FIELDS
from worker.stages.findings import Finding, failure
from worker.stages.index_state import IndexState, Json, plain_settings
from worker.stages.vectors import model_name

_VECTOR = "embedding"
_FULL: Final = "read_only_allow_delete"
_BLOCKS: Final = ("write", "read_only", _FULL)
_PIPELINES: Final = ("index.default_pipeline", "index.final_pipeline")


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
    _check_source(index, indices[index].mappings)
    return index


async def check_target(admin: IndexAdmin, settings: Settings, dimensions: int, model: str) -> list[str]:
    """Check the write alias and its index against the embedder; return warnings, each one sentence for the log.

    `dimensions` and `model` are the embedder's. Needs `view_index_metadata` on the write alias, and nothing else.

    Raises:
        OperatorError: the worker could not write: one sentence that says what to change.
    """
    index, state = await _fitting(admin, settings, dimensions)
    return [*_model_warnings(index, state.mappings, model), *_pipeline_warnings(index, state)]


async def check_moved_alias(admin: IndexAdmin, settings: Settings, dimensions: int, model: str) -> None:
    """Check the index that the write alias has come to lead to while the worker runs, as `check_target` does.

    More strictly: of another model's index it is a mistake now. Whoever moved the alias has made that index for a
    worker with that model; two models' vectors in it would never be told apart by a search.

    Raises:
        Halt: the worker must not write there: one sentence that says what to change.
        RetryLater: Elasticsearch does not tell.
    """
    try:
        index, state = await _fitting(admin, settings, dimensions)
    except OperatorError as error:
        if isinstance(error.__cause__, Halt | RetryLater):
            raise error.__cause__ from None
        raise Halt(HaltReason.TARGET_MISCONFIGURED, str(error)) from error
    if warnings := _model_warnings(index, state.mappings, model):
        raise Halt(
            HaltReason.TARGET_MISCONFIGURED,
            f"the write alias {settings.index.writer_alias} was moved while the worker ran, and {warnings[0]}: "
            "restart the worker if it is to write there",
        )


async def _fitting(admin: IndexAdmin, settings: Settings, dimensions: int) -> tuple[str, IndexState]:
    """The write index, if the worker can write there."""
    alias = settings.index.writer_alias
    with explained(settings.elasticsearch):
        indices = await admin.indices([alias])
    index = _write_index(alias, indices)
    state = indices[index]
    _check_routing(alias, index, state)
    _check_source(index, state.mappings)
    if missing := missing_sync_fields(state.mappings):
        raise lacking(index, missing)
    _check_vector(index, state.mappings, dimensions)
    return index, state


def block_findings(name: str, index: IndexState) -> Iterator[Finding]:
    """Yield the blocks that keep documents out; Elasticsearch sets the last one itself where a disk is full."""
    settings = plain_settings(index.settings)
    if found := [one for one in _BLOCKS if settings.get(f"index.blocks.{one}") == "true"]:
        yield failure(
            "write block",
            f"{name} has index.blocks.{' and '.join(found)}: the worker halts until it is lifted",
            "free the disk, where it was set for that" if found == [_FULL] else f"set it to null on {name}",
        )


def cluster_block_findings(blocks: Sequence[str] | None) -> Iterator[Finding]:
    """Yield the blocks that keep documents out of every index; None: they are not shown to this credential."""
    if blocks:
        yield failure(
            "write block",
            f"the whole cluster has {' and '.join(blocks)}: the worker halts until it is lifted",
            "set it to null there, with _cluster/settings; see 'Halt write_blocked' in deploy/README.md",
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
    if len(writable) == 1 and len(flags) > 1:
        others = ", ".join(sorted(flags.keys() - writable))
        raise OperatorError(
            f"the write alias {alias} leads to other indices beside {writable[0]}, so no document can be looked up "
            f"through it: remove it from {others}"
        )
    if len(writable) != 1:
        raise OperatorError(
            f"the write alias {alias} has no write index among {', '.join(sorted(indices))}: "
            "set is_write_index for one of them"
        )
    return writable[0]


def _check_routing(alias: str, index: str, state: IndexState) -> None:
    own = state.aliases.get(alias, {})
    if (fixed := own.get("index_routing")) is not None:
        raise OperatorError(
            f"the write alias {alias} has the fixed routing {fixed!r} and would refuse other tenants: "
            "add the alias again without routing"
        )
    if named := [name for name in ("search_routing", "filter") if own.get(name)]:
        raise OperatorError(
            f"the write alias {alias} has a {named[0]}, so the worker would not find all documents of a row that moves "
            "or is deleted: add the alias again without it"
        )
    routing = state.mappings.get("_routing")
    if not isinstance(routing, Mapping) or str(routing.get("required", False)).lower() != "true":
        raise OperatorError(
            f"the mapping of {index} does not require routing, so tenants would not be kept apart: "
            "write to an index that has _routing.required, such as 'syncline apply' creates"
        )


def _check_source(index: str, mappings: Json) -> None:
    """The worker takes the values that an event leaves out from the stored document."""
    source = mappings.get("_source")
    if not isinstance(source, Mapping):
        return
    excluded = source.get("excludes")
    left_out = [name for name in excluded if name != _VECTOR] if isinstance(excluded, list) else excluded
    if str(source.get("enabled", True)).lower() != "true" or source.get("includes") or left_out:
        raise OperatorError(
            f"{index} does not keep the whole _source, so values that events leave out would be lost: write to an "
            f"index whose _source leaves out {_VECTOR} at most, such as 'syncline apply' creates"
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
    # Quantised vectors are less exact, but lie among the others; and documents are all that an index holds.
    model = model_name(model)
    # A definition that names no revision is content with any.
    ours = model if "@" in named else model.partition("@")[0]
    if ours == named:
        return []
    return [f"{index} was made for vectors of {named}, the worker makes them with {model}: do not mix them"]


def _pipeline_warnings(index: str, state: IndexState) -> list[str]:
    settings = plain_settings(state.settings)
    named = {name: settings.get(name, "_none") for name in _PIPELINES}
    return [
        f"{index} has {name} {pipeline}: what an ingest pipeline does to documents, the worker does not know"
        for name, pipeline in named.items()
        if pipeline != "_none"
    ]
