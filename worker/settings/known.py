"""Which keys there are: walking the groups, for those who look for the key that an operator may have meant."""

import difflib
import typing
from collections.abc import Iterable, Iterator, Sequence

from pydantic import BaseModel


def group_of(annotation: object) -> type[BaseModel] | None:
    """Return the group that a field's type is or contains: `KafkaSettings`, or the one in `list[SourceSettings]`."""
    if arguments := typing.get_args(annotation):
        return next((model for argument in arguments if (model := group_of(argument)) is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def is_group(annotation: object) -> bool:
    """Whether a field's type is a group itself, not a list or mapping of groups."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def keys_at(model: type[BaseModel], location: Iterable[object]) -> list[str]:
    """Return the keys that are known at a path below `model`."""
    for part in location:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        inner = group_of(model.model_fields[str(part)].annotation)
        if inner is None:
            continue
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key below `model`, groups included; what is inside a list has no path."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        if is_group(field.annotation):
            yield from paths(typing.cast("type[BaseModel]", field.annotation), (*above, name))


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about an unknown word: the known one that it resembles, else all of them."""
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known here: {', '.join(known)}"
