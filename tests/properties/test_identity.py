import json
import re
from typing import Any
from urllib.parse import unquote

import orjson
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.identity import MAX_ID_BYTES, joined, joined_id, key_part, key_place_id, source_key, tenant_alias
from worker.stages.rules import IdScope
from worker.stages.truncate import marker

# Few letters, so that two keys often differ by nothing but an escape; the rest are what ids have broken on before.
nasty = st.text(alphabet=[*'aA1/%~#2F .-e+"[]\n\x00\u00a0\u202e\u200dא👩'], max_size=6)
texts = (nasty | st.text(max_size=600) | st.sampled_from(["true", "null", "1", "1.0", "%2F", "[1]"])).filter(str.strip)
# What JSON is read as: an integer of more than 64 bits becomes a float, which `key_part` refuses for that reason.
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(-(2.0**63), 2.0**64, exclude_max=True)
columns = texts | numbers | st.sampled_from([1, 1.0, True, False, "1", "1.0", "true"])
nested = st.lists(columns, max_size=3) | st.dictionaries(nasty, columns, max_size=3)
keys = st.lists(columns | nested, min_size=1, max_size=3)
tenants = texts
sources = st.from_regex(r"[a1][a1_-]{0,1}", fullmatch=True)


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


def identified(tenant: str, key: list[Any], source: str = "articles") -> str:
    return joined_id(IdScope.TENANT_SCOPED, key_part(tenant), joined(source, map(key_part, key)))


@given(tenants, keys)
def test_tenant_source_and_key_can_be_read_back_from_an_id_so_no_two_share_one(tenant: str, key: list[Any]) -> None:
    found = identified(tenant, key)
    if found.startswith("#"):
        return
    first, source, *rest = found.split("/")
    assert read(first) == tenant
    assert source == "articles"
    assert written([read(part) for part in rest]) == written(key)


@given(sources, tenants, sources, keys, st.sampled_from(IdScope))
def test_a_sources_marker_is_no_row_s_place(
    marked: str, tenant: str, source: str, key: list[Any], scope: IdScope
) -> None:
    parts = [key_part(part) for part in key]
    row = source_key(source, parts)
    assert marker(marked).document_id not in {
        joined_id(scope, key_part(tenant), joined(source, parts)),
        key_place_id(row),
    }
    assert marked != row, "nor is the key that its tombstone has any row's"


@given(tenants, sources, keys, tenants, sources, keys)
def test_two_rows_that_differ_in_tenant_source_or_key_never_share_an_id(
    tenant: str, source: str, key: list[Any], other_tenant: str, other_source: str, other_key: list[Any]
) -> None:
    same = (tenant, source, written(key)) == (other_tenant, other_source, written(other_key))
    assert (identified(tenant, key, source) == identified(other_tenant, other_key, other_source)) is same


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


@given(st.integers(), st.integers())
def test_two_integers_of_any_size_in_json_never_share_a_key(one: int, other: int) -> None:
    found = []
    for number in (one, other):
        try:
            found.append(key_part(orjson.loads(str(number))))
        except ValueError:
            return
    assert (found[0] == found[1]) is (one == other)


any_text = st.text(st.characters(), max_size=400) | nasty
readers = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,220}", fullmatch=True)


@given(readers, any_text)
def test_any_tenant_has_an_alias_that_elasticsearch_takes(reader: str, tenant: str) -> None:
    """The rules of Elasticsearch's `validateIndexOrAliasName`."""
    alias = tenant_alias(reader, tenant)
    assert alias == alias.lower()
    assert not set(alias) & set('\\/*?"<>| ,#:')
    assert alias[0] not in "-_+"
    assert alias.isascii()
    assert alias.isprintable()
    assert len(alias) <= 255
    assert alias.startswith(f"{reader}@")


@given(readers, any_text, readers, any_text)
def test_no_two_tenants_share_an_alias_nor_has_one_the_name_of_an_index(
    reader: str, tenant: str, other_reader: str, other: str
) -> None:
    same = (reader, tenant) == (other_reader, other)
    assert (tenant_alias(reader, tenant) == tenant_alias(other_reader, other)) is same
    assert (tenant_alias(reader, tenant) == tenant_alias(reader, other)) is (tenant == other)
    assert tenant_alias(reader, tenant) != other_reader
