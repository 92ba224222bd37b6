"""From a file and the environment to `Settings`, with every mistake as one sentence that says what to change."""

import copy
import os
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from worker.errors import OperatorError
from worker.settings.environment import CONFIG_VARIABLE, Environment, read_environment, with_model_of_image
from worker.settings.kafka import KafkaSettings
from worker.settings.known import is_group
from worker.settings.mistakes import location_of, place_of, sentences
from worker.settings.root import Settings, mistakes_between
from worker.settings.sources import SourceSettings
from worker.settings.types import Group
from worker.settings.worker import DeliverySettings
from worker.settings.yaml_file import read_config

_Group = TypeVar("_Group", bound=Group)

DEFAULT_CONFIG: Final = Path("syncline.yaml")


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration file and the environment, which wins.

    `path` is the file; without it `SYNCLINE_CONFIG`, else `syncline.yaml` in the working directory if there is one.

    Raises:
        OperatorError: one sentence per mistake, each naming the key and what to change. Values are never repeated:
            they may be secrets.
    """
    environment = os.environ if environment is None else environment
    path = _config_path(path, environment)
    variables = read_environment(environment, Settings)
    mistakes = list(variables.mistakes)
    try:
        content = {} if path is None else _without_empty(read_config(path), Settings)
    except OperatorError as error:
        raise OperatorError("\n".join([*mistakes, str(error)])) from None
    merged = variables.over(with_model_of_image(content, variables, environment))
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        mistakes += _all_mistakes(error, merged, path, variables)
    else:
        if not mistakes:
            return settings
    raise OperatorError("\n".join(dict.fromkeys(mistakes)))


def _all_mistakes(
    error: ValidationError, content: Mapping[str, Any], path: Path | None, variables: Environment
) -> Iterator[str]:
    """Yield every mistake, also those that are looked for only where there are no others.

    A group's own rules are tried without the keys that nobody knows, and the rules between groups with the groups that
    have no mistake of their own.
    """
    yield from sentences(error, path, variables)
    faults = error.errors(include_url=False, include_input=False)
    known = _without(content, [location_of(fault) for fault in faults if fault["type"] == "extra_forbidden"])
    try:
        Settings.model_validate(known)
    except ValidationError as again:
        yield from sentences(again, path, variables)
    listed = known.get("sources")
    sources = [_valid(SourceSettings, one) for one in listed] if isinstance(listed, list) else []
    between = mistakes_between(
        _valid(KafkaSettings, known.get("kafka", {})),
        _valid(DeliverySettings, known.get("delivery", {})),
        [source for source in sources if source is not None],
    )
    place = place_of((), path, variables)
    yield from (f"{place}: {told}" for told in between)


def _valid(group: type[_Group], content: object) -> _Group | None:
    try:
        return group.model_validate(content)
    except ValidationError:
        return None


def _without(content: Mapping[str, Any], locations: Iterable[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return a copy without the keys at these paths."""
    kept = copy.deepcopy(dict(content))
    for *parents, key in locations:
        group: Any = kept
        for part in parents:
            group = group[part]
        group.pop(key, None)
    return kept


def _config_path(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if variable := environment.get(CONFIG_VARIABLE):
        return Path(variable)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def _without_empty(content: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Leave out groups with nothing in them: that is what `kafka:` is once all its keys are commented out."""
    kept = {}
    for key, value in content.items():
        field = model.model_fields.get(key)
        if field is None or (value is not None and not is_group(field.annotation)):
            kept[key] = value
        elif isinstance(value, dict):
            kept[key] = _without_empty(value, typing.cast("type[BaseModel]", field.annotation))
        elif value is not None or not (is_group(field.annotation) or field.is_required()):
            kept[key] = value
    return kept
