import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.documents import nested, value_at
from worker.stages.embedding_text import embedding_text, text_hash

NAMES = ("title", "content")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"title": "Full", "content": "queues"}, "Full queues"),
        ({"content": "queues", "title": "Full"}, "Full queues"),
        ({"title": "  a\t\tb\r\n\n", "content": "\u00a0c\u2003d\u3000"}, "a b c d"),
        ({"title": None, "content": "only"}, "only"),
        ({"content": "only"}, "only"),
        ({"title": ["a", None, " b  c "], "content": []}, "a b c"),
        ({"title": 5, "content": 0}, "5 0"),
        ({"title": "", "content": " \n "}, ""),
        ({"title": None}, ""),
        ({}, ""),
        ({"other": "unnamed"}, ""),
    ],
)
def test_the_text_is_the_named_fields_in_their_order_with_single_spaces(fields: dict[str, object], text: str) -> None:
    assert embedding_text(fields, NAMES) == text


def test_the_hash_of_a_text_never_changes_unnoticed() -> None:
    """Every stored document holds such a hash: another rule would embed the whole index again."""
    assert text_hash("Full queues") == "86d23c3dd96bea45430b0318f08dc613"
    assert text_hash("") == "6cde7722c6383f624cb5b68aaefcd033"
    assert text_hash("naïve 東京") == "ca7b78bc6d8d378f7725e43824ee9ead"


words = st.text(alphabet="ab \t\n\u00a0é", max_size=8)
values = st.none() | words | st.lists(st.none() | words, max_size=3) | st.integers() | st.floats(allow_nan=False)


@given(st.fixed_dictionaries({"title": values, "meta.content": values}))
def test_the_text_can_be_built_again_from_a_stored_document(fields: dict[str, object]) -> None:
    names = ("title", "meta.content")
    body = nested(fields)
    assert embedding_text({name: value_at(body, name) for name in names}, names) == embedding_text(fields, names)


@given(st.text())
def test_white_space_alone_never_makes_another_text(text: str) -> None:
    once = embedding_text({"title": text}, NAMES)
    assert embedding_text({"title": once}, NAMES) == once
    assert embedding_text({"title": f"\n {text} \t"}, NAMES) == once
    assert once == " ".join(once.split())


@given(st.text(), st.text())
def test_only_equal_texts_share_a_hash(one: str, other: str) -> None:
    assert (text_hash(one) == text_hash(other)) is (one == other)
    assert len(text_hash(one)) == 32
