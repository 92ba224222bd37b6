"""From a file and the environment to `Settings`, with every mistake as one sentence that says what to change."""

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from worker.errors import OperatorError
from worker.settings.environment import CONFIG_VARIABLE, read_environment
from worker.settings.known import is_group
from worker.settings.mistakes import sentences
from worker.settings.root import Settings
from worker.settings.yaml_file import read_config

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
    content = {} if path is None else _without_empty(read_config(path), Settings)
    try:
        return Settings.model_validate(variables.over(content))
    except ValidationError as error:
        raise OperatorError("\n".join(sentences(error, path, variables))) from None


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
