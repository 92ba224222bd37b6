"""What is generated from the settings is in step with them, and the examples can be used as they are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tools.configuration_docs import PAGE, page
from worker.settings import load_settings
from worker.settings.showing import schema, show

SCHEMAS = Path(__file__).parent.parent.parent / "schemas"
EXAMPLES = sorted((SCHEMAS / "examples").glob("*.yaml"))


def test_the_schema_file_is_what_the_settings_say() -> None:
    written = json.loads((SCHEMAS / "settings.v1.json").read_text(encoding="utf-8"))
    assert written == schema(), "run: make docs"


def test_the_configuration_page_is_what_the_settings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    content = schema()
    for name, group in {"Settings": content, **content["$defs"]}.items():
        for key, field in group.get("properties", {}).items():
            yield f"{name}.{key}", field


def test_every_field_says_what_it_is() -> None:
    assert [name for name, field in fields() if len(field.get("description", "")) < 10] == []


def test_no_description_carries_the_line_breaks_of_the_source() -> None:
    assert [name for name, field in fields() if "\n" in field["description"]] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid_for_the_schema_and_for_the_worker(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema())
    load_settings(path, {})


def test_there_are_a_minimal_and_a_full_example() -> None:
    assert [path.name for path in EXAMPLES] == ["minimal.yaml", "syncline.yaml"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafak": {}},
        {"kafka": {"groupid": "g"}},
        {"delivery": {"retry_max": "5 min"}},
        {"batch": {"bulk_bytes": "5 pears"}},
        {"log": {"level": "loud"}},
        {"sources": [{"name": "only"}]},
        {"sources": []},
    ],
)
def test_the_schema_refuses_what_the_worker_refuses(wrong: dict[str, Any]) -> None:
    example = yaml.safe_load((SCHEMAS / "examples" / "minimal.yaml").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example, **wrong}, schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_what_config_show_prints_is_valid_for_the_schema(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(show(load_settings(path, {}))), schema())


def test_the_full_example_fits_the_index_definition_that_it_names() -> None:
    settings = load_settings(SCHEMAS / "examples" / "syncline.yaml", {})
    body = json.loads((SCHEMAS / "index" / f"{settings.index.definition}.json").read_text(encoding="utf-8"))
    known = set(body["mappings"]["properties"])
    assert {field for source in settings.sources for field in source.fields} <= known
    assert body["mappings"]["_meta"]["model"] == settings.embedding.model
