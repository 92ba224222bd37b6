"""`syncline check`, the write target: the alias, and its mapping against sources, definition and model."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from worker.control.check import refused
from worker.control.explaining import explained
from worker.control.target import (
    block_findings,
    check_alias,
    check_target,
    cluster_block_findings,
    lacking,
    missing_sync_fields,
)
from worker.errors import OperatorError, RetryLater
from worker.ports import IndexAdmin, ServerInspector
from worker.resources import load_index_definition
from worker.runtime.clock import Clock
from worker.settings import ElasticsearchSettings, Settings, SourceSettings
from worker.stages.findings import Finding, Section, counted, failure, listed, note, ok, warning
from worker.stages.index_state import (
    IndexDefinition,
    IndexState,
    Json,
    body_differences,
    missing_of_sync,
    tuned_settings,
    with_sync_fields,
)
from worker.stages.rules import TruncatePolicy

_TITLE: Final = "Elasticsearch"
_SHOWN: Final = 5
_NEEDED: Final = ("index", "delete", "read", "view_index_metadata")
_FOR_SEARCHING: Final = ("maintenance",)
_FOR_WATCHING: Final = "monitor"
_SKEW_SECONDS: Final = 2
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Here a proxy may do the encryption."""
OLDEST: Final = (8, 15)
"""The oldest version of Elasticsearch that is supported, and with it all up to the newest major one."""
NEWEST_MAJOR: Final = 9


class MissingServerError(Exception):
    """Elasticsearch is not there at all; `section` says so in its words."""

    def __init__(self, section: Section) -> None:
        super().__init__(section.title)
        self.section = section


async def check_index(
    admin: IndexAdmin,
    inspector: ServerInspector,
    settings: Settings,
    locating: Collection[str] = (),
    clock: Clock | None = None,
    dimensions: int | None = None,
) -> Section:
    """Return what the write target looks like. `locating` are sources whose rows are searched for in it.

    `dimensions` is the length of the model's vectors, where it is known.

    Raises:
        MissingServerError: it cannot be asked.
    """
    alias = settings.index.writer_alias
    nodes = ", ".join(settings.elasticsearch.urls)
    try:
        with explained(settings.elasticsearch):
            await admin.indices([alias])
            truncating = [source.name for source in settings.sources if source.truncate is TruncatePolicy.DELETE_ALL]
            granted = await inspector.granted(alias, [*_NEEDED, *_FOR_SEARCHING, _FOR_WATCHING])
            findings = [
                _server(nodes, await inspector.version()),
                *_privileges(alias, granted, locating, truncating),
                *_in_the_clear(settings.elasticsearch),
                *_watching(settings, granted, await inspector.granted_on_cluster([_FOR_WATCHING])),
                *await _clock(inspector, alias, clock or Clock()),
                *cluster_block_findings(await inspector.write_blocks()),
                *await _target(admin, settings, alias, dimensions),
            ]
    except OperatorError as error:
        section = Section(_TITLE, (refused("server", error),))
        if isinstance(error.__cause__, RetryLater):
            raise MissingServerError(section) from error
        return section
    return Section(_TITLE, tuple(findings))


def _server(nodes: str, version: str | None) -> Finding:
    if version is None:
        return ok("server", f"{nodes} answers; its version is not shown to this credential")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if numbers < list(OLDEST) or numbers[0] > NEWEST_MAJOR:
        return warning(
            "server",
            f"{nodes} is Elasticsearch {version}, on which Syncline is not tried",
            f"use a version from {OLDEST[0]}.{OLDEST[1]} to {NEWEST_MAJOR}.x",
        )
    return ok("server", f"{nodes} is Elasticsearch {version}")


async def _clock(inspector: ServerInspector, alias: str, clock: Clock) -> Sequence[Finding]:
    """Whether the server's clock and this machine's agree, as well as one question can tell."""
    before = clock.wall_ms()
    theirs = await inspector.clock_ms(alias)
    after = clock.wall_ms()
    if theirs is None:
        return []
    # Their time is of some moment between the two of ours.
    ahead = max(theirs - after, before - theirs, 0) / 1000
    if ahead < _SKEW_SECONDS:
        return [ok("clock", "the server's and this machine's agree")]
    return [
        warning(
            "clock",
            f"this machine's is {ahead:,.0f} s {'behind' if theirs > after else 'ahead of'} the server's: freshness is "
            "wrong by that if it differs from the database's, too, and tombstones are purged by this machine's",
            "set the clocks of both (NTP)",
        )
    ]


def _privileges(
    alias: str, granted: frozenset[str] | None, locating: Collection[str], truncating: Collection[str]
) -> Iterator[Finding]:
    if granted is None:
        yield note("privileges", "security is off, or not to be seen: everybody may do everything")
        return
    if missing := [name for name in _NEEDED if name not in granted]:
        yield failure(
            "privileges",
            f"this credential lacks {listed(missing)} on {alias}",
            f"grant {', '.join(_NEEDED)} on the name {alias} (on the alias: on the index is not enough)",
        )
    else:
        yield ok("privileges", f"{', '.join(_NEEDED)} on {alias}")
    missing = [name for name in _FOR_SEARCHING if name not in granted]
    if missing and locating:
        yield failure(
            "privileges",
            f"this credential lacks {listed(missing)} on {alias}, and rows of {listed(locating)} do not tell their "
            "tenant: the first of them halts the worker",
            f"grant {', '.join(missing)} on the name {alias}, or see the line 'tenant'",
        )
    if missing and truncating:
        yield failure(
            "privileges",
            f"this credential lacks {listed(missing)} on {alias}, and {listed(truncating)} has truncate: delete_all: "
            "the first truncate halts the worker",
            f"grant {', '.join(missing)} on the name {alias}, or set truncate: reject",
        )
    if missing and not locating and not truncating:
        needed = "needed only to search for rows that do not tell their tenant, and for truncate: delete_all"
        yield note("privileges", f"not {listed(missing)}: {needed}")


def _in_the_clear(settings: ElasticsearchSettings) -> Iterator[Finding]:
    plain = [url for url in settings.urls if url.startswith("http://") and urlsplit(url).hostname not in _LOOPBACK]
    if plain and settings.has_credential:
        yield warning(
            "security",
            f"the credential travels unencrypted to {listed(plain)}: who can listen can write, too",
            "give Elasticsearch TLS, and set elasticsearch.hosts to https:// addresses",
        )


def _watching(settings: Settings, on_index: frozenset[str] | None, on_cluster: frozenset[str] | None) -> list[Finding]:
    asked = {"the cluster": on_cluster, "the index": on_index}
    missing = [where for where, granted in asked.items() if granted is not None and _FOR_WATCHING not in granted]
    if not missing or not settings.metrics.cluster:
        return []
    where = " and ".join(missing)
    full = " a disk that fills up is first told by a halt" if "the cluster" in missing else ""
    return [
        note(
            "cluster view",
            f"not {_FOR_WATCHING} on {where}: no metrics of it, whose alerts never fire{';' * bool(full)}{full}",
            f"grant {_FOR_WATCHING} on {where}, or have another exporter watch it and set metrics.cluster: false",
        )
    ]


async def _target(admin: IndexAdmin, settings: Settings, alias: str, dimensions: int | None) -> Sequence[Finding]:
    try:
        name = await check_alias(admin, settings)
    except OperatorError as error:
        return [refused("write alias", error)]
    index = (await admin.indices([alias]))[name]
    return [
        ok("write alias", f"{alias} writes to {name}, requires routing and fixes none"),
        *block_findings(name, index),
        *await _model(admin, settings, index, dimensions),
        *_mapping(name, index, settings),
        *_tuned(name, index, load_index_definition(settings.index.definition)),
    ]


async def _model(admin: IndexAdmin, settings: Settings, index: IndexState, known: int | None) -> Sequence[Finding]:
    """A model that is not loaded has vectors of unknown length: that of the index is taken for it."""
    dimensions = _dimensions(index) if known is None else known
    embedding = settings.embedding
    name = embedding.model if embedding.revision is None else f"{embedding.model}@{embedding.revision}"
    try:
        warnings = await check_target(admin, settings, dimensions, name)
    except OperatorError as error:
        return [refused("mapping" if missing_sync_fields(index.mappings) else "vectors", error)]
    fix = "set embedding.model and revision to those of the index, or build a new index for this model"
    asked = "the model itself is not loaded here" if known is None else "the server's have as many"
    told = f"of {name}, {dimensions} dimensions in the index; {asked}"
    return [warning("vectors", one, fix) for one in warnings] or [ok("vectors", told)]


def _dimensions(index: IndexState) -> int:
    field = _at(index.mappings, ("embedding",))
    found = str(field.get("dims")) if isinstance(field, Mapping) else ""
    return int(found) if found.isdigit() else 0


def unmapped_findings(name: str, mappings: Json, sources: Sequence[SourceSettings]) -> Iterator[Finding]:
    """Yield fields of the sources that a mapping does not know."""
    missing = [
        (source.name, field)
        for source in sources
        for field in source.fields
        if _at(mappings, tuple(field.split("."))) is None
    ]
    for source, field in missing:
        yield (
            failure(
                "mapping",
                f"field {field!r} of source {source} is not in the mapping of {name}: its documents are refused",
                "build an index whose definition has the field, or take the field out of the source",
            )
            if str(mappings.get("dynamic")).lower() == "strict"
            else warning(
                "mapping",
                f"field {field!r} of source {source} is not in the mapping of {name}, which is not strict",
                "declare the field in index.definition, so that its type does not depend on the first document",
            )
        )


def _mapping(name: str, index: IndexState, settings: Settings) -> Iterator[Finding]:
    """Fields that the mapping does not know, and what differs from the definition."""
    missing = list(unmapped_findings(name, index.mappings, settings.sources))
    yield from missing
    definition = load_index_definition(settings.index.definition)
    added = missing_of_sync(definition.mappings, index.mappings)
    needed = missing_sync_fields(index.mappings)
    # Those that are needed are told by `_model`, in the words of the worker's start.
    if others := [field for field in added if field not in needed]:
        yield refused("mapping", lacking(name, others))
    extended = replace(index, mappings=with_sync_fields(index.mappings, added))
    differing = body_differences(name, definition, extended)
    if differing:
        where = "; ".join(f"{one.where} is {one.found}, not {one.wanted}" for one in differing[:_SHOWN])
        more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        yield warning(
            "mapping",
            f"{name} is not as index.definition ({settings.index.definition}) has it: {where}{more}",
            "take the definition back to what is there, or build a new index from it",
        )
    if not (missing or differing or added or needed):
        fields = sum(len(source.fields) for source in settings.sources)
        yield ok("mapping", f"{name} is as defined, and has {counted(fields, 'field')} of the sources")


def _tuned(name: str, index: IndexState, definition: IndexDefinition) -> Iterator[Finding]:
    """Settings that are not as defined, and may be: an operator has tuned the live index."""
    if tuned := tuned_settings(name, definition, index):
        where = "; ".join(f"{one.where} is {one.found}, not {one.wanted}" for one in tuned)
        yield note("settings", f"{where}: tuned on the live index", "write it into index.definition if it is to stay")


def _at(mapping: Json, path: Sequence[str]) -> Json | None:
    """The field at a path: an object's property, or below an object whose fields nobody declares."""
    field: object = mapping
    for part in path:
        if not isinstance(field, Mapping):
            return None
        if field.get("enabled") is False or field.get("type") == "flattened":
            return field
        properties = field.get("properties")
        field = properties.get(part) if isinstance(properties, Mapping) else None
    return field if isinstance(field, Mapping) else None
