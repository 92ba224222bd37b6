"""What an index should be and what there is, as values, and how the two are compared.

Elasticsearch does not give back what it was given: numbers in settings return as text, parameters that equal a default
are dropped in one version and kept in another, and it adds settings of its own. Both sides are brought into one form
first, so that what remains is a difference that a person would call one.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

Json = Mapping[str, object]

_ABSENT: Final = object()

# Parameters that mean the same as their absence: some servers echo them, some do not.
_FIELD_DEFAULTS: Final[dict[str, dict[str, object]]] = {
    "date": {"format": "strict_date_optional_time||epoch_millis"},
    "dense_vector": {"similarity": "cosine"},
}
_ANY_FIELD_DEFAULTS: Final[dict[str, object]] = {"index": True, "doc_values": True, "store": False}

# What an operator tunes on a live index, for load and for space. Not here, though they can be set live, too: what
# changes documents or what a write is worth (pipelines, translog.durability, gc_deletes), and blocks.
_TUNED: Final = re.compile(
    r"index\.(refresh_interval|number_of_replicas|auto_expand_replicas|priority|search\.idle\.after|max_\w+"
    r"|translog\.(sync_interval|flush_threshold_size)|unassigned\.node_left\.delayed_timeout"
    r"|mapping\.\w+\.limit|highlight\.max_analyzed_offset|merge\.\S+|routing\.(allocation|rebalance)\.\S+"
    r"|(search|indexing)\.slowlog\.\S+)"
)


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """The body of an index, as its file has it: numbers may be numbers, settings may lack the prefix `index.`."""

    settings: Json
    mappings: Json


@dataclass(frozen=True, slots=True)
class IndexState:
    """One physical index as the server describes it: alias name to `{filter, is_write_index, ...}`, and its body."""

    aliases: Mapping[str, Json]
    settings: Json
    mappings: Json


@dataclass(frozen=True, slots=True)
class Held:
    """How much an alias holds: documents that readers may find, and the tombstones of deleted rows."""

    documents: int
    tombstones: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where what exists is not what is wanted; all three are short texts for a person."""

    where: str
    wanted: str
    found: str


def body_differences(index: str, wanted: IndexDefinition, found: IndexState) -> tuple[Difference, ...]:
    """Compare the body of `index` with its definition, but for what may be tuned on a live index.

    Mappings must agree both ways. Of the settings only those that the definition names are compared: the server adds
    its own.
    """
    return (
        *_setting_differences(index, wanted, found, tuned=False),
        *differences(f"{index} mappings", plain_mappings(wanted.mappings), plain_mappings(found.mappings)),
    )


def tuned_settings(index: str, wanted: IndexDefinition, found: IndexState) -> tuple[Difference, ...]:
    """Return the settings that are not as defined and may be: an operator has tuned the live index."""
    return tuple(_setting_differences(index, wanted, found, tuned=True))


def _setting_differences(
    index: str, wanted: IndexDefinition, found: IndexState, *, tuned: bool
) -> Iterator[Difference]:
    ours, theirs = plain_settings(wanted.settings), plain_settings(found.settings)
    compared = {name for name in ours if (_TUNED.fullmatch(name) is not None) is tuned}
    return differences(f"{index} settings", _only(compared, ours), _only(compared, theirs))


def _only(names: Collection[str], settings: Json) -> Json:
    return {name: value for name, value in settings.items() if name in names}


def missing_of_sync(wanted: Json, found: Json) -> Json:
    """Return the fields of `sync` that only the definition's mappings have. They can be added in place.

    They are Syncline's own: no document has them yet, and no reader searches them. None where there is no `sync`.
    """
    ours, theirs = _sync_fields(wanted), _sync_fields(found)
    return {name: field for name, field in ours.items() if name not in theirs} if theirs else {}


def with_sync_fields(mappings: Json, fields: Json) -> Json:
    """Return mappings with more fields in `sync`."""
    properties = mappings.get("properties")
    if not fields or not isinstance(properties, Mapping) or not isinstance(properties.get("sync"), Mapping):
        return mappings
    sync = {**properties["sync"], "properties": {**_sync_fields(mappings), **fields}}
    return {**mappings, "properties": {**properties, "sync": sync}}


def _sync_fields(mappings: Json) -> Json:
    fields: object = mappings
    for name in ("properties", "sync", "properties"):
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields if isinstance(fields, Mapping) else {}


def differences(where: str, wanted: object, found: object) -> Iterator[Difference]:
    """Yield the places where two normalised values differ, as deep in the tree as they can be told apart."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for name in sorted({*wanted, *found}):
            yield from differences(f"{where}.{name}", wanted.get(name, _ABSENT), found.get(name, _ABSENT))
    elif wanted != found:
        yield Difference(where, _shown(wanted), _shown(found))


def _shown(value: object) -> str:
    if value is _ABSENT:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def plain_settings(settings: Json) -> dict[str, object]:
    """Return settings with full dotted names and every scalar as text: `{"index.number_of_shards": "2"}`."""
    flat: dict[str, object] = {}
    for name, value in _flattened(settings):
        full = name if name.startswith("index.") else f"index.{name}"
        flat[full] = [_text(item) for item in value] if isinstance(value, list) else _text(value)
    return flat


def _flattened(tree: Json, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain_mappings(mappings: Json) -> dict[str, object]:
    """Return mappings without parameters that say what is so anyway; `_meta` keeps its values as they are."""
    plain = {name: value for name, value in mappings.items() if name not in ("properties", "dynamic")}
    return plain | _dynamic(mappings) | _properties(mappings)


def _properties(parent: Json, name: str = "properties") -> dict[str, object]:
    """Return the fields below an object or, as `fields`, those of a multi-field; nothing if there are none."""
    fields = parent.get(name)
    if not isinstance(fields, Mapping) or not fields:
        return {}
    return {name: {field: _plain_field(body) for field, body in fields.items()}}


def _plain_field(field: object) -> object:
    if not isinstance(field, Mapping):
        return field
    kind = field.get("type", "object")
    defaults = {**_ANY_FIELD_DEFAULTS, **_FIELD_DEFAULTS.get(str(kind), {}), "type": "object"}
    kept = {
        name: value
        for name, value in field.items()
        if name not in ("properties", "fields", "dynamic") and _differs(value, defaults.get(name, _ABSENT))
    }
    return kept | _dynamic(field) | _properties(field) | _properties(field, "fields")


def _differs(value: object, default: object) -> bool:
    # A boolean may come as text; 1 and True must not be taken for the same.
    return default is _ABSENT or json.dumps(_scalar(value)) != json.dumps(_scalar(default))


def _scalar(value: object) -> object:
    return _text(value) if isinstance(value, bool) else value


def _dynamic(parent: Json) -> dict[str, object]:
    # `true` is given as a boolean and comes back as text.
    return {"dynamic": _text(parent["dynamic"])} if "dynamic" in parent else {}
