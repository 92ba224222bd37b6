import pytest

from worker.stages.identity import MAX_ID_BYTES, document_id, key_part, shortened, source_key
from worker.stages.rules import IdScope

SCOPED, GLOBAL = IdScope.TENANT_SCOPED, IdScope.GLOBAL


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
        (" ", "%20"),
        ("\u00a0", "%C2%A0"),
        ("a\nb\x00", "a%0Ab%00"),
        ("Ä👩\u200d💻", "Ä👩\u200d💻"),
        ("٣", "~٣"),
        ([1, "a/b"], '~[1,"a%2Fb"]'),
        ({"scale": 3, "value": "MDk="}, '~{"scale":3,"value":"MDk="}'),
    ],
)
def test_how_a_key_column_is_written(value: object, part: str) -> None:
    """These texts are in every stored id: changing one orphans documents."""
    assert key_part(value) == part


def test_the_order_of_names_in_an_object_is_of_no_consequence() -> None:
    assert key_part({"b": 1, "a": 2}) == key_part({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_identify_nothing(value: object) -> None:
    with pytest.raises(ValueError, match="is null or empty"):
        key_part(value)


def test_how_ids_and_source_keys_are_written() -> None:
    assert document_id(SCOPED, "acme", ["1", "2"]) == "acme/1/2"
    assert document_id(SCOPED, "7", ["1"]) == "~7/1"
    assert document_id(GLOBAL, "acme", ["1", "2"]) == "1/2"
    assert source_key("articles", ["1"]) == "articles/1"


def test_an_id_of_512_bytes_is_written_and_one_of_513_is_hashed() -> None:
    longest = "é" * 255  # two bytes each, and two for the tenant and the slash
    assert document_id(SCOPED, "t", [longest]) == f"t/{longest}"
    assert document_id(SCOPED, "tt", [longest]) == "#95da676d1b7b7c1811c6cbdbb4fd95f914f44aeffd6048203b0870f6e0a14d79"
    assert len(document_id(SCOPED, "t", [longest]).encode()) == MAX_ID_BYTES


def test_what_looks_like_a_hash_cannot_be_mistaken_for_one() -> None:
    hashed = shortened("x" * 600)
    assert hashed.startswith("#")
    assert document_id(GLOBAL, "acme", [key_part(hashed)]) != hashed
