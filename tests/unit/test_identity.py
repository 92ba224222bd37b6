import pytest

from worker.stages.identity import MAX_ID_BYTES, joined, joined_id, key_part, shortened, source_key, tenant_alias
from worker.stages.rules import IdScope

SCOPED, GLOBAL = IdScope.TENANT_SCOPED, IdScope.GLOBAL


def document_id(scope: IdScope, tenant: str, *parts: str) -> str:
    return joined_id(scope, key_part(tenant), joined("articles", parts))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (1, "1"),
        ("1", "~1"),
        (1.0, "1.0"),
        ("1.0", "~1.0"),
        (True, "~true"),
        ("true", "true"),
        (-0.0, "-0.0"),
        (1e16, "1e+16"),
        ("1e+16", "~1e+16"),
        ("1e", "1e"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("~1", "%7E1"),
        ("#", "%23"),
        ("a b ", "a%20b%20"),
        ("\u00a0a", "%C2%A0a"),
        ("a\nb\x00", "a%0Ab%00"),
        ("Ä👩\u200d💻", "Ä👩\u200d💻"),
        ("٣", "~٣"),
        ("Acme:eu.west@x=1+2-3_4", "Acme:eu.west@x=1+2-3_4"),
        ("-a", "-a"),
        (2**64 - 1, "18446744073709551615"),
        (-(2**63), "-9223372036854775808"),
        ([1, "a/b"], '~[1,"a%2Fb"]'),
        ({"scale": 3, "value": "MDk="}, '~{"scale":3,"value":"MDk="}'),
    ],
)
def test_how_a_key_column_is_written(value: object, part: str) -> None:
    """These texts are in every stored id: changing one orphans documents."""
    assert key_part(value) == part


def test_the_order_of_names_in_an_object_is_of_no_consequence() -> None:
    assert key_part({"b": 1, "a": 2}) == key_part({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [None, "", " ", "\n\t", "\u00a0"])
def test_null_and_blank_identify_nothing(value: object) -> None:
    with pytest.raises(ValueError, match="is null or blank"):
        key_part(value)


def test_how_ids_and_source_keys_are_written() -> None:
    assert document_id(SCOPED, "acme", "1", "2") == "acme/articles/1/2"
    assert document_id(SCOPED, "7", "1") == "~7/articles/1"
    assert document_id(GLOBAL, "acme", "1", "2") == "articles/1/2"
    assert source_key("articles", ["1", "2"]) == "articles/1/2"


def test_an_id_of_512_bytes_is_written_and_one_of_513_is_hashed() -> None:
    longest = "é" * 250  # two bytes each; twelve for tenant, source and slashes
    assert document_id(SCOPED, "tt", longest) == f"tt/articles/{longest}"
    assert document_id(SCOPED, "ttt", longest) == "#936ad4817d42bde8ec2ae1912585cc64702222da7ec1648f154dd1e878320d68"
    assert len(document_id(SCOPED, "tt", longest).encode()) == MAX_ID_BYTES


def test_an_id_is_hashed_once_also_where_its_source_key_alone_is_too_long() -> None:
    long = "k" * 600
    assert document_id(SCOPED, "t", long) == shortened(f"t/articles/{long}")
    assert document_id(GLOBAL, "t", long) == source_key("articles", [long]) == shortened(f"articles/{long}")


def test_what_looks_like_a_hash_cannot_be_mistaken_for_one() -> None:
    hashed = shortened("x" * 600)
    assert hashed.startswith("#")
    assert document_id(GLOBAL, "acme", key_part(hashed)) != hashed


@pytest.mark.parametrize("value", [2.0**64, -(2.0**64), 1e300, [2.0**64], {"a": [-1e20]}])
def test_a_number_that_reading_json_has_rounded_identifies_nothing(value: object) -> None:
    """2^64 and 2^64 + 1 are read as one and the same float."""
    with pytest.raises(ValueError, match="more than 64 bits"):
        key_part(value)


@pytest.mark.parametrize(
    ("tenant", "alias"),
    [
        ("acme", "articles@acme"),
        ("acme-2.eu_x", "articles@acme-2.eu_x"),
        ("Acme", "articles@~41cme"),
        ("a/b, c*", "articles@a~2fb~2c~20c~2a"),
        ("~", "articles@~7e"),
        ("@", "articles@~40"),
        ("é", "articles@~c3~a9"),
        ("..", "articles@.."),
        ("_all", "articles@_all"),
        ("write", "articles@write"),
        ("x" * 246, "articles@" + "x" * 246),
        ("x" * 247, "articles@@l6aa5hbjkzl37kuujhmuspvak6dsapei"),
    ],
)
def test_how_the_alias_of_a_tenant_is_called(tenant: str, alias: str) -> None:
    """Readers know these names: changing one hides a tenant's documents."""
    assert tenant_alias("articles", tenant) == alias


def test_the_longest_reader_alias_that_settings_allow_leaves_room_for_any_tenant() -> None:
    assert len(tenant_alias("a" * 221, "T" * 500)) == 255
    with pytest.raises(ValueError, match="is too long for the aliases of its tenants"):
        tenant_alias("a" * 222, "T" * 500)
