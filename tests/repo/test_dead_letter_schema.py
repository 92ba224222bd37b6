"""`schemas/dead-letter.v1.json` says what the worker writes, and the examples are letters that it reads."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from tests.builders import record
from tests.properties.test_dead_letters import letters
from worker.records import Position, Record
from worker.stages.dead_letters import HEADERS, PREFIX, Letter, forms, letter_of

ROOT: Final = Path(__file__).parent.parent.parent
EXAMPLES: Final = ROOT / "schemas" / "examples" / "dead-letters"
SCHEMA: Final[dict[str, Any]] = json.loads((ROOT / "schemas" / "dead-letter.v1.json").read_text(encoding="utf-8"))
VALIDATOR: Final = Draft202012Validator(SCHEMA)
VALID: Final = sorted(EXAMPLES.glob("*.json"))
INVALID: Final = sorted((EXAMPLES / "invalid").glob("*.json"))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_it_describes_every_header_that_there_is() -> None:
    assert SCHEMA["properties"].keys() == set(HEADERS)


def test_there_are_examples() -> None:
    assert (len(VALID), len(INVALID)) == (4, 8)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_example_is_one_and_writes_itself_again(path: Path) -> None:
    headers = json.loads(path.read_text(encoding="utf-8"))
    VALIDATOR.validate(headers)
    read = letter_of(_stored(headers))
    assert read is not None
    assert next(forms(read))[1] == headers


def _stored(headers: dict[str, str]) -> Record:
    added = [(name, value.encode()) for name, value in headers.items()]
    plain = record(b"", None, headers=added)
    return Record(Position("dead", 0, 0), plain.key, plain.value, plain.headers, 1)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_example_is_refused(path: Path) -> None:
    assert not VALIDATOR.is_valid(json.loads(path.read_text(encoding="utf-8")))


@given(letters)
def test_whatever_is_written_fits_the_schema(letter: Letter) -> None:
    for _, headers in forms(letter):
        VALIDATOR.validate(headers)


def test_the_page_describes_every_header() -> None:
    page = (ROOT / "docs" / "dead-letters.md").read_text(encoding="utf-8")
    assert [name for name in HEADERS if f"`{name.removeprefix(PREFIX)}`" not in page] == []
