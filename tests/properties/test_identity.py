import json
import re
from typing import Any
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from worker.stages.identity import MAX_ID_BYTES, document_id, key_part, source_key
from worker.stages.rules import IdScope

# Few letters, so that two keys often differ by nothing but an escape; the rest are what ids have broken on before.
nasty = st.text(alphabet=[*'aA1/%~#2F .-e+"[]\n\x00\u00a0\u202e\u200dא👩'], max_size=6)
texts = (nasty | st.text(max_size=600) | st.sampled_from(["true", "null", "1", "1.0", "%2F", "[1]"])).filter(bool)
numbers = st.integers(min_value=-(2**63), max_value=2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
columns = texts | numbers | st.sampled_from([1, 1.0, True, False, "1", "1.0", "true"])
nested = st.lists(columns, max_size=3) | st.dictionaries(nasty, columns, max_size=3)
keys = st.lists(columns | nested, min_size=1, max_size=3)
tenants = texts.filter(str.strip)


def written(key: list[Any]) -> str:
    """Tells `1` from `1.0` and `True`, which Python calls equal."""
    return json.dumps(key, sort_keys=True)


def read(part: str) -> object:
    """The value that a part was written from, by the rules in `identity.key_part`'s docstring."""
    if part.startswith("~"):
        rest = unquote(part[1:])
        is_text = re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", rest)
        return rest if is_text else json.loads(rest)
    if re.fullmatch(r"-?\d+", part):
        return int(part)
    if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", part):
        return float(part)
    return unquote(part)


def identified(tenant: str, key: list[Any]) -> str:
    return document_id(IdScope.TENANT_SCOPED, tenant, [key_part(column) for column in key])


@given(tenants, keys)
def test_tenant_and_key_can_be_read_back_from_an_id_so_no_two_share_one(tenant: str, key: list[Any]) -> None:
    found = identified(tenant, key)
    if found.startswith("#"):
        return
    first, *rest = (read(part) for part in found.split("/"))
    assert first == tenant
    assert written(rest) == written(key)


@given(tenants, keys, tenants, keys)
def test_two_different_pairs_of_tenant_and_key_never_share_an_id(
    tenant: str, key: list[Any], other_tenant: str, other_key: list[Any]
) -> None:
    same = tenant == other_tenant and written(key) == written(other_key)
    assert (identified(tenant, key) == identified(other_tenant, other_key)) is same


@given(texts, texts)
def test_ids_that_are_hashed_differ_too(one: str, other: str) -> None:
    long = "x" * MAX_ID_BYTES
    assert identified("t", [long, one]).startswith("#")
    assert (identified("t", [long, one]) == identified("t", [long, other])) is (one == other)


@given(tenants, keys)
def test_an_id_never_exceeds_what_elasticsearch_takes_and_is_the_same_every_time(tenant: str, key: list[Any]) -> None:
    found = identified(tenant, key)
    assert 0 < len(found.encode()) <= MAX_ID_BYTES
    assert found == identified(tenant, key)


@given(keys, keys)
def test_rows_of_one_source_never_share_a_source_key(key: list[Any], other: list[Any]) -> None:
    one, two = (source_key("articles", [key_part(column) for column in columns]) for columns in (key, other))
    assert (one == two) is (written(key) == written(other))
    assert one != source_key("notes", [key_part(column) for column in key])


@given(keys)
def test_an_id_holds_nothing_that_breaks_a_line_or_separates(key: list[Any]) -> None:
    for part in map(key_part, key):
        assert not re.search(r"[\s/\x00-\x1f\x7f]", part)
        assert part
