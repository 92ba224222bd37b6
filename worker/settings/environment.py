"""`SYNCLINE_KAFKA__GROUP_ID` and the like: variables in, a mapping of the configuration file's form out.

Read by `load_settings` alone. A `Settings` that the code builds itself (the demo does) never picks up what happens to
be in the shell: it would send the demo to somebody's cluster.
"""

import difflib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from worker.settings.known import is_group, paths

ENV_PREFIX: Final = "SYNCLINE_"
CONFIG_VARIABLE: Final = f"{ENV_PREFIX}CONFIG"
_BETWEEN: Final = "__"
_OF_IMAGE: Final = {f"{ENV_PREFIX}IMAGE__{key.upper()}": key for key in ("model", "revision", "path")}

# Kubernetes puts the addresses of a Service named `syncline` or `syncline-...` into every pod beside it.
_SERVICE_LINK: Final = re.compile(r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """What the variables say, and which variable said it."""

    content: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    """Path of a key -> the variable that set it."""
    mistakes: list[str] = field(default_factory=list)
    """One sentence a variable that is unknown, empty, or not JSON where JSON is needed; it counts as not there."""
    spoiled: list[Path] = field(default_factory=list)
    """Paths of the keys that such variables would have set."""

    def over(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content with what the variables say put over it, key by key; a list is replaced as a whole."""
        return _merged(content, self.content)


def read_environment(environment: Mapping[str, str], model: type[BaseModel]) -> Environment:
    """Return what the `SYNCLINE_` variables say about the fields of `model`."""
    found = Environment()
    # The shorter path first, so that SYNCLINE_KAFKA__GROUP_ID wins over the JSON in SYNCLINE_KAFKA.
    for name, value in sorted(environment.items(), key=lambda item: (item[0].count(_BETWEEN), item[0])):
        if not name.startswith(ENV_PREFIX) or name == CONFIG_VARIABLE or name in _OF_IMAGE:
            continue
        if _is_service_link(name, value):
            continue
        try:
            _take(found, name, value, model)
        except ValueError as error:
            found.mistakes.append(f"environment: {name}: {error}")
            found.spoiled.append(_path(name))
    return found


def with_model_of_image(
    content: Mapping[str, Any], variables: Environment, environment: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return a file's content with the image's own model (`SYNCLINE_IMAGE__MODEL` and so on) in place of its.

    What the variables of `embedding` say wins over it. With `backend: http` a server has the model, and the image's is
    none of its matter.
    """
    embedding = variables.over(content).get("embedding")
    if isinstance(embedding, dict) and embedding.get("backend") == "http":
        return content
    model = {key: environment[name] for name, key in _OF_IMAGE.items() if environment.get(name)}
    return _merged(content, {"embedding": model}) if model else content


def _take(found: Environment, name: str, value: str, model: type[BaseModel]) -> None:
    path = _path(name)
    parsed = _parsed(value, _field_at(model, path))
    content: Any = parsed
    for part in reversed(path):
        content = {part: content}
    merged = _merged(found.content, content)
    found.content.clear()
    found.content.update(merged)
    found.origins.update(dict.fromkeys(_leaves(parsed, path), name))


def _path(name: str) -> Path:
    return tuple(name.removeprefix(ENV_PREFIX).lower().split(_BETWEEN))


def _field_at(model: type[BaseModel], path: Path) -> FieldInfo:
    group: object = model
    known: FieldInfo | None = None
    for part in path:
        fields = typing.cast("type[BaseModel]", group).model_fields if is_group(group) else {}
        if (known := fields.get(part)) is None:
            raise ValueError(f"there is no such setting{_meant(model, path)}")
        group = known.annotation
    assert known is not None, "a path has at least one part"
    return known


def _meant(model: type[BaseModel], path: Path) -> str:
    # Without the prefix, which would make everything look alike.
    known = [_BETWEEN.join(each).upper() for each in paths(model)]
    matches = difflib.get_close_matches(_BETWEEN.join(path).upper(), known, n=1, cutoff=0.7)
    if matches:
        return f"; did you mean {ENV_PREFIX}{matches[0]}?"
    return "; variables read SYNCLINE_<GROUP>__<KEY>, see --help"


def _parsed(value: str, known: FieldInfo) -> Any:  # noqa: ANN401 - as free as JSON is
    if not value:
        raise ValueError("is empty; give it a value, or unset it")
    if typing.get_origin(known.annotation) not in {list, dict} and not is_group(known.annotation):
        return value
    wanted = list if typing.get_origin(known.annotation) is list else dict
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, wanted):
        example = '["one", "two"]' if wanted is list else '{"key": "value"}'
        raise ValueError(f"must be JSON, such as {example}") from None
    return parsed


def _leaves(value: object, path: Path) -> list[Path]:
    if not isinstance(value, dict) or not value:
        return [path]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, (*path, key))]


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _is_service_link(name: str, value: str) -> bool:
    if _BETWEEN in name:
        return False
    rest = name.removeprefix(ENV_PREFIX)
    # A Service's own name may come first: SYNCLINE_METRICS_SERVICE_HOST.
    if any(_SERVICE_LINK.fullmatch(rest, at) for at in _word_starts(rest)):
        return True
    return (rest == "PORT" or rest.endswith("_PORT")) and _SERVICE_ADDRESS.match(value) is not None


def _word_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("_", text))]
