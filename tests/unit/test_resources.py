"""Index definitions: where they are found, and what is said of a file that cannot be used."""

import json
from pathlib import Path

import pytest

from worker import resources
from worker.errors import OperatorError
from worker.resources import load_index_definition, schemas_folder
from worker.stages.rules import RESERVED_FIELDS


def test_the_schemas_inside_the_package_come_first(tmp_path: Path) -> None:
    package = tmp_path / "worker"
    (package / "_schemas").mkdir(parents=True)
    (tmp_path / "schemas").mkdir()
    assert schemas_folder(package) == package / "_schemas"


def test_a_checkout_has_its_schemas_beside_the_package(tmp_path: Path) -> None:
    assert schemas_folder(tmp_path / "worker") == tmp_path / "schemas"


def test_a_name_is_a_file_of_the_schemas() -> None:
    definition = load_index_definition("articles")
    assert definition.settings["number_of_shards"] == 2
    assert definition.mappings["dynamic"] == "strict"


def test_a_path_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"mappings": {"dynamic": "strict"}}')
    definition = load_index_definition(str(path))
    assert definition.mappings == {"dynamic": "strict"}
    assert definition.settings == {}


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(OperatorError, match=r"no index definition 'artikel' \(there is: articles"):
        load_index_definition("artikel")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"cannot read .*absent\.json: No such file"):
        load_index_definition(str(tmp_path / "absent.json"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"{}", "has no `mappings`"),
        (b'{"mappings": {}}', "has no `mappings`"),
        (b'{"mappings": []}', "has no `mappings`"),
        (b'{"mappings": {"dynamic": "strict"}, "settings": 3}', "`settings` in .* must be an object"),
        (b'{"mappings": {"dynamic": "strict"}, "aliases": {"a": {}}}', "has 'aliases': keep"),
    ],
)
def test_a_file_that_cannot_be_used_is_answered_with_one_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=sentence) as refused:
        load_index_definition(str(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_our_own_definition_keeps_its_promises() -> None:
    """What other parts rely on, and what would differ between server versions if it were left to a default."""
    body = json.loads((resources.schemas_folder() / "index" / "articles.json").read_text())
    mappings, fields = body["mappings"], body["mappings"]["properties"]
    assert mappings["_routing"] == {"required": True}
    assert mappings["dynamic"] == fields["sync"]["dynamic"] == "strict"
    assert fields["embedding"]["dims"] == mappings["_meta"]["dimensions"]
    assert fields["embedding"]["index_options"]["type"] == "int8_hnsw"
    assert fields["tenant"] == {"type": "keyword"}
    assert set(fields) >= RESERVED_FIELDS
    assert body["settings"]["refresh_interval"] == "1s"
