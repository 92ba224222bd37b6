"""Whatever bytes a topic holds, decoding, mapping and planning end in a value, and the same one every time."""

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import event, record, row, rules
from worker.records import Change, Decoded, Rejection, RowChange, Skip, Unit
from worker.stages.conversion import UNAVAILABLE, is_unavailable
from worker.stages.decode.debezium import decode
from worker.stages.identity import MAX_ID_BYTES
from worker.stages.mapping import RowMapper
from worker.stages.planning import NeedsVector, Ready, plan, with_vector
from worker.stages.rules import FieldType, IdScope, SourceRules

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from([UNAVAILABLE, "", "c", "u", "r", "d", "t", "m", "postgresql", "1", "x" * 600]),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["id", "tenant", "title", "content", "at", "raw"])
rows = st.dictionaries(names, json_values, max_size=6)
sources = st.fixed_dictionaries(
    {"connector": st.just("postgresql") | json_values, "lsn": st.integers(1, 2**56 - 1) | json_values},
    optional={"ts_ms": json_values},
)
events = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["c", "u", "r", "d"]) | json_values,
        "after": rows | json_values,
        "before": rows | json_values,
        "source": sources | json_values,
    },
)
"""What is almost an event: every part may be missing or anything at all."""

parts = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.builds(lambda value: orjson.dumps(value), events | rows | json_values),  # noqa: PLW0108 - its signature is not readable
    st.builds(lambda value: orjson.dumps(value)[:-1], events),
)
all_rules = st.builds(
    rules,
    trusts_before=st.booleans(),
    version_epoch=st.integers(0, 127),
    id_scope=st.sampled_from(IdScope),
    fields=st.just(
        {"title": "title", "content": "content", "at": ("at", FieldType.EPOCH_MILLIS), "raw": ("raw", FieldType.JSON)}
    )
    | st.just({"title": "title"}),
    embed=st.just(("title",)),
)


@given(parts, parts, all_rules)
def test_any_bytes_decode_to_a_value_and_to_the_same_one_every_time(
    value: bytes | None, key: bytes | None, given_rules: SourceRules
) -> None:
    outcome = decode(record(value, key), given_rules)
    assert isinstance(outcome, (RowChange, Skip, Rejection))
    assert decode(record(value, key), given_rules) == outcome
    if isinstance(outcome, Rejection):
        assert 0 < len(outcome.message) < 400
    if isinstance(outcome, RowChange) and outcome.version is not None:
        assert 0 < outcome.version < 2**63
        assert outcome.version >> 56 == given_rules.version_epoch


@given(events | json_values, rows | json_values, all_rules)
def test_with_and_without_its_schema_an_event_is_the_same(value: object, key: object, given_rules: SourceRules) -> None:
    def decoded(*, value_wrapped: bool, key_wrapped: bool) -> Decoded:
        wrapped_value = {"schema": {"type": "struct"}, "payload": value} if value_wrapped else value
        wrapped_key = {"schema": {"type": "struct"}, "payload": key} if key_wrapped else key
        # Written here: to the builder None is a record without a value, and not the text `null`.
        return decode(record(orjson.dumps(wrapped_value), orjson.dumps(wrapped_key)), given_rules)

    bare = decoded(value_wrapped=False, key_wrapped=False)
    assert decoded(value_wrapped=True, key_wrapped=False) == bare
    assert decoded(value_wrapped=False, key_wrapped=True) == bare
    assert decoded(value_wrapped=True, key_wrapped=True) == bare


@given(st.sampled_from(["u", "d"]), rows, rows)
def test_nothing_of_before_is_believed_under_default_replica_identity(
    op: str, before: dict[str, object], other: dict[str, object]
) -> None:
    assert decode(record(event(op, before=before)), rules()) == decode(record(event(op, before=other)), rules())


plausible_rows = st.builds(
    row,
    row_id=st.integers(0, 9) | st.text(max_size=9) | json_values,
    tenant=st.sampled_from(["acme", "globex", 7]) | json_values,
    title=json_values,
    content=json_values,
    at=st.integers(-(2**63), 2**63 - 1) | json_values,
    raw=st.builds(lambda value: orjson.dumps(value).decode(), json_values) | json_values,
)


@given(
    st.sampled_from(["c", "u", "r", "d"]),
    plausible_rows,
    plausible_rows | st.none(),
    rows,
    all_rules,
    st.integers(0, 99),
)
def test_any_row_becomes_a_sound_document_or_a_rejection(
    op: str,
    after: dict[str, object],
    before: dict[str, object] | None,
    key: dict[str, object],
    given_rules: SourceRules,
    watermark: int,
) -> None:
    given_record = record(event(op, after, before), key)
    decoded = decode(given_record, given_rules)
    assert isinstance(decoded, RowChange)
    found = RowMapper(given_rules).map(given_record, decoded, watermark)
    assert found == RowMapper(given_rules).map(given_record, decoded, watermark)
    if isinstance(found, Rejection):
        assert 0 < len(found.message) < 600
        return
    assert isinstance(found, Change)
    assert found.place not in found.left
    for place in (found.place, *found.left):
        assert place.tenant.strip()
        assert place.tenant != UNAVAILABLE
        assert 0 < len(place.document_id.encode()) <= MAX_ID_BYTES
    as_they_are = {rule.name for rule in given_rules.fields if rule.type is FieldType.AS_IS}
    assert not any(is_unavailable(value) for name, value in found.fields.items() if name in as_they_are)
    expected = set() if op == "d" else {rule.name for rule in given_rules.fields}
    assert found.fields.keys() | found.absent == expected
    assert found.fields.keys().isdisjoint(found.absent)
    unit = Unit(found)
    decision = plan(unit, dict.fromkeys(unit.places), given_rules.embed, "model", 0)
    assert isinstance(decision, Rejection) is bool(found.absent)
    if isinstance(decision, NeedsVector):
        decision = with_vector(decision, np.array([1], dtype=np.float32), "model")
    if isinstance(decision, Ready):
        written = [place for place in unit.places if place not in found.key_places or place == found.place]
        assert [write.place for write in decision.writes] == written
        assert all(orjson.loads(write.body)["sync"]["version"] == found.version for write in decision.writes)
