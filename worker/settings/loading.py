"""From a file and the environment to `Settings`, with every mistake as one sentence that says what to change."""

import difflib
import os
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError
from typing_extensions import override

from worker.errors import OperatorError
from worker.settings.root import ENV_PREFIX, Settings

CONFIG_VARIABLE: Final = f"{ENV_PREFIX}CONFIG"
DEFAULT_CONFIG: Final = Path("syncline.yaml")


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration file and the environment.

    `path` is the file; without it `SYNCLINE_CONFIG`, else `syncline.yaml` in the working directory if there is one.

    Raises:
        OperatorError: one sentence per mistake, each naming the key and what to change. Values are never repeated:
            they may be secrets.
    """
    environment = os.environ if environment is None else environment
    path = _config_path(path, environment)
    _refuse_unknown_variables(environment)
    content = {} if path is None else read_config(path)
    try:
        return Settings(**content)
    except ValidationError as error:
        raise OperatorError("\n".join(_sentences(error, path))) from None
    except ValueError as error:  # pydantic-settings: an environment variable of a group is not JSON
        raise OperatorError(f"environment: {error}; give lists and groups as JSON") from None


def _config_path(path: Path | None, environment: Mapping[str, str]) -> Path | None:
    if path is not None:
        return path
    if variable := environment.get(CONFIG_VARIABLE):
        return Path(variable)
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of a YAML configuration file.

    Raises:
        OperatorError: it cannot be read, is not YAML, names a key twice, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}; give the right path with --config") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())
        raise OperatorError(f"{path}: is not valid YAML: {detail}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise OperatorError(f"{path}: must hold groups such as 'kafka:' and 'sources:' at its top level")
    return content


class _StrictLoader(yaml.SafeLoader):
    """YAML lets a later key silently replace an earlier one; here that is an error."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"line {line} gives the key {key!r} a second time")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Refuse `SYNCLINE_KAFAK__GROUP_ID`: a variable that no group reads would be ignored in silence."""
    groups = Settings.model_fields
    for variable in sorted(environment):
        if not variable.startswith(ENV_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        group = variable.removeprefix(ENV_PREFIX).split("__")[0].lower()
        if group not in groups:
            hint = _nearest(group, groups)
            raise OperatorError(f"environment: {variable}: there is no group {group!r}{hint}")


def _sentences(error: ValidationError, path: Path | None) -> Iterable[str]:
    place = "environment" if path is None else str(path)
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        location = [part for part in fault["loc"] if not _is_union_tag(part)]
        key = _dotted(location)
        if fault["type"] == "extra_forbidden":
            known = _fields_at(Settings, location[:-1])
            yield f"{place}: {key}: unknown key{_nearest(str(location[-1]), known)}"
        elif fault["type"] == "missing" and location == ["sources"]:
            yield f"{place}: sources: nothing to read: describe at least one source (see docs/configuration.md)"
        elif fault["type"] == "missing":
            yield f"{place}: {key}: is required: add it"
        else:
            message = fault["msg"].removeprefix("Value error, ").replace("Input should", "should")
            yield f"{place}: {key}: {message}" if key else f"{place}: {message}"


def _is_union_tag(part: object) -> bool:
    """Pydantic puts the name of a union's member into the path (`fields.title.str`); no operator wrote it."""
    return part in {"str", "FieldSettings"}


def _dotted(location: Iterable[object]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _fields_at(model: type[BaseModel], location: Iterable[object]) -> list[str]:
    """Return the keys that are known at a path below `model`."""
    for part in location:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        inner = _models_in(model.model_fields[part].annotation)
        if inner is None:
            continue
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: object) -> type[BaseModel] | None:
    if arguments := typing.get_args(annotation):
        return next((model for argument in arguments if (model := _models_in(argument)) is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known here: {', '.join(known)}"
