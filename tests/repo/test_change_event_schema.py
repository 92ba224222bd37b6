"""The contract for plain change events: its schema, its examples and the decoder say the same."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.builders import record, rules
from worker.errors import RejectReason
from worker.records import Operation, Rejection, RowChange
from worker.stages.decode.change_event import TIME, decode

ROOT: Final = Path(__file__).parents[2]
SCHEMA: Final = json.loads((ROOT / "schemas/change-event.v1.json").read_text(encoding="utf-8"))
EXAMPLES: Final = ROOT / "schemas/examples/change-events"
VALIDATOR: Final = Draft202012Validator(SCHEMA)

VALID: Final[Mapping[str, RowChange]] = {
    "upsert": RowChange(
        operation=Operation.UPSERT,
        key={"id": 42, "tenant": "acme"},
        row={
            "id": 42,
            "tenant": "acme",
            "title": "In step",
            "content": "The index follows the database.",
            "tags": ["search", "cdc"],
        },
        before={},
        version=24460856,
        source_ts_ms=1769860800250,
    ),
    "upsert-minimal": RowChange(
        Operation.UPSERT, {"id": 42}, {"id": 42, "tenant": "acme", "title": "In step", "content": ""}, {}, None, None
    ),
    "upsert-composite-key": RowChange(
        Operation.UPSERT,
        {"region": "eu", "number": "007", "tenant": 7},
        {"region": "eu", "number": "007", "tenant": 7, "title": "In step", "content": None},
        {},
        0,
        1769860800250,
    ),
    "delete": RowChange(
        Operation.DELETE, {"id": 42, "tenant": "acme"}, {}, {"tenant": "acme"}, 24460857, 1769860800000
    ),
    "delete-minimal": RowChange(Operation.DELETE, {"id": 42}, {}, {}, None, None),
}
INVALID: Final[Mapping[str, RejectReason]] = {
    "unknown-op": RejectReason.UNKNOWN_OPERATION,
    "unknown-property": RejectReason.NOT_AN_EVENT,
    "key-missing": RejectReason.KEY_MISSING,
    "key-null": RejectReason.KEY_MISSING,
    "row-missing": RejectReason.ROW_MISSING,
    "row-in-delete": RejectReason.NOT_AN_EVENT,
    "version-as-text": RejectReason.POSITION_INVALID,
    "version-too-large": RejectReason.POSITION_INVALID,
    "time-without-zone": RejectReason.NOT_AN_EVENT,
    "tenant-empty": RejectReason.TENANT_MISSING,
}


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_example_has_an_expectation() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == VALID.keys()
    assert {path.stem for path in (EXAMPLES / "invalid").glob("*.json")} == INVALID.keys()


@pytest.mark.parametrize("name", VALID)
def test_a_valid_example_fits_the_schema_and_decodes_to_its_change(name: str) -> None:
    data = (EXAMPLES / f"{name}.json").read_bytes()
    VALIDATOR.validate(json.loads(data))
    assert decode(record(data), rules()) == replace(VALID[name], tells_moves=True)


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_example_is_refused_by_the_schema_and_by_the_decoder(name: str) -> None:
    data = (EXAMPLES / "invalid" / f"{name}.json").read_bytes()
    assert not VALIDATOR.is_valid(json.loads(data))
    outcome = decode(record(data), rules())
    assert isinstance(outcome, Rejection), outcome
    assert outcome.reason is INVALID[name]


def test_schema_and_decoder_want_times_written_alike() -> None:
    assert SCHEMA["properties"]["ts"]["pattern"] == f"^{TIME.pattern}$"


def test_the_page_for_writers_of_events_shows_an_example_that_is_one_of_these() -> None:
    page = (ROOT / "docs/change-events.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert json.loads((EXAMPLES / "upsert.json").read_bytes()) in shown
    assert json.loads((EXAMPLES / "delete.json").read_bytes()) in shown
    assert all(VALIDATOR.is_valid(event) for event in shown)


# No floats in `version` and `ts`: to a JSON schema 5.0 is an integer, to the worker it is none.
names = st.sampled_from(["id", "region", "tenant", "title"])
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=4)
events: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["upsert", "delete", "update", "", None]),
        "source": st.sampled_from(["articles", "", None, 5]),
        "key": st.dictionaries(names, scalars | st.floats(allow_nan=False, allow_infinity=False), max_size=2) | scalars,
        "tenant": st.sampled_from(["acme", "", " ", 7, True, None, 0.5, []]),
        "version": st.sampled_from([0, -1, 2**56 - 1, 2**56, "1", True, None]),
        "ts": st.sampled_from([0, -1, 5, True, None, "", "2026-01-31T12:00:00Z", "2026-01-31", "2026-01-31T12:00Z"]),
        "row": st.dictionaries(names, scalars, max_size=3) | scalars,
        "extra": scalars,
    },
)


@given(events)
def test_the_decoder_takes_what_the_schema_takes(event: dict[str, Any]) -> None:
    outcome = decode(record(event), rules())
    if isinstance(outcome, Rejection) and "but" in outcome.message and "'key' or 'tenant'" in outcome.message:
        return  # that two values agree is more than a schema can say
    assert VALIDATOR.is_valid(orjson.loads(orjson.dumps(event))) is isinstance(outcome, RowChange), outcome
