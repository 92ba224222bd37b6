"""Finding and reading the files under `schemas/`: inside the package in a wheel, beside it in a checkout."""

import json
from collections.abc import Mapping
from pathlib import Path

from worker.errors import OperatorError
from worker.stages.index_state import IndexDefinition

_PARTS = frozenset({"settings", "mappings"})


def schemas_folder(package: Path | None = None) -> Path:
    """Return the folder with the schemas. `package` is the folder of this package, unless a test gives another."""
    package = Path(__file__).parent if package is None else package
    in_wheel = package / "_schemas"
    return in_wheel if in_wheel.is_dir() else package.parent / "schemas"


def load_index_definition(definition: str) -> IndexDefinition:
    """Read an index body: `articles` is a file under `schemas/index/`, `folder/mine.json` is a path.

    Raises:
        OperatorError: no such file, not a JSON object, or not an index body.
    """
    path = _path_of(definition)
    body = _read_object(path)
    if unknown := sorted(set(body) - _PARTS):
        raise OperatorError(f"index.definition: {path} has {unknown[0]!r}: keep `settings` and `mappings` only")
    mappings, settings = body.get("mappings"), body.get("settings", {})
    if not isinstance(mappings, Mapping) or not mappings:
        raise OperatorError(f"index.definition: {path} has no `mappings`: add an object with the index's mappings")
    if not isinstance(settings, Mapping):
        raise OperatorError(f"index.definition: `settings` in {path} must be an object")
    return IndexDefinition(settings=settings, mappings=mappings)


def _path_of(definition: str) -> Path:
    if definition.endswith(".json") or "/" in definition:
        return Path(definition)
    folder = schemas_folder() / "index"
    path = folder / f"{definition}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json"))) or "none"
        raise OperatorError(
            f"index.definition: there is no index definition {definition!r} (there is: {known}): "
            "give one of these names, or the path of a JSON file"
        )
    return path


def _read_object(path: Path) -> dict[str, object]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OperatorError(
            f"index.definition: cannot read {path}: {error.strerror or error}; give the path of a JSON file"
        ) from error
    except ValueError as error:
        raise OperatorError(f"index.definition: {path} is not JSON ({error}): mend the file") from error
    if not isinstance(body, dict):
        raise OperatorError(f"index.definition: {path} is not a JSON object: it needs `settings` and `mappings`")
    return body
