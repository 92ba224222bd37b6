import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.stages.documents import nested, value_at
from worker.stages.embedding_text import embedded_fields, embedding_text, normalised, parsed_template, text_hash

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
    assert text_hash("Full queues") == "b39aee55c99d26562506c1ed6cd5b509"
    assert text_hash("") == "b233d4f46298ef86c360d189c7337bc0"
    assert text_hash("naïve 東京") == "5c1f8d1b375f97670e4c6811528c1682"


# --- what the text of a value is


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1.5, "1.5"),
        ({"de": "Hallo", "en": ["Hello", None], "a": {"z": 1}}, "1 Hallo Hello"),
        ([["a"], [{"b": "b"}]], "a b"),
        ({}, ""),
        ("a\x00b\x07c\x1b[0m", "a b c [0m"),
        ("\x85\x9f", ""),
        ("so\u00adft hy\u200bphen", "soft hyphen"),
        ("\ufeffa\u2060b\u200e\u202ec\u2066d", "abcd"),
        ("\u0645\u06cc\u200c\u062e 👩\u200d💻", "\u0645\u06cc\u200c\u062e 👩\u200d💻"),
        ("tag\U000e0041\U000e007f", "tag"),
        ("e\u0301 \u212b", "é Å"),
        ("x² ﬁ", "x² ﬁ"),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
    ],
)
def test_a_value_is_made_into_plain_text(value: object, text: str) -> None:
    assert embedding_text({"title": value}, ["title"]) == text


def test_a_flood_of_combining_marks_is_cut_and_takes_no_longer_than_its_length_asks_for() -> None:
    """Putting them in order takes quadratic time: half a minute for 80 000 of them."""
    found = normalised("a" + "\u0301\u0323" * 100_000)
    assert len(found) == 30
    assert normalised(found) == found


@pytest.mark.parametrize("mark", ["\u0301", "\u0334", "\u0344", "\u20dd", "\u0e34", "\u093e", "\U0001d165"])
def test_a_flood_is_cut_in_whatever_form_it_comes(mark: str) -> None:
    """In order or not, composed or not, of a combining class or not; a mark may be two in its normal form."""
    found = normalised(f"one q{mark * 1000} two")
    assert len(found) == len("one q two") + 30
    assert normalised(found) == found


def test_thirty_marks_stay_and_signs_that_are_no_marks_stay_all() -> None:
    for text in ("q" + "\u0334" * 30, "…" * 100, "👩" * 100, "นี่" * 100):
        assert normalised(text) == text


# --- templates


@pytest.mark.parametrize(
    ("template", "fields", "text"),
    [
        ("{title}. {content}", {"title": "T", "content": "C"}, "T. C"),
        ("{title}. {content}", {"title": " T\n", "content": None}, "T."),
        ("{title}. {content}", {"title": "", "content": " "}, ""),
        ("{title}. {content}", {}, ""),
        ("{{{title}}} in {meta.lang}", {"title": "T", "meta.lang": ["de", "en"]}, "{T} in de en"),
        ("passage: {title}", {"title": "T"}, "passage: T"),
        ("{title}{title}", {"title": "T"}, "TT"),
    ],
)
def test_a_template_puts_fields_into_a_text_that_is_empty_where_they_are(
    template: str, fields: dict[str, object], text: str
) -> None:
    assert embedding_text(fields, parsed_template(template)) == text


def test_html_is_stripped_on_request_value_by_value() -> None:
    fields: dict[str, object] = {"title": ["<b>a</b><!-- open", "b &amp; c"], "content": "<p></p>"}
    stripping = parsed_template("{title}|{content}", strip_html=True)
    assert embedding_text(fields, stripping) == "a b & c|"
    assert embedding_text({"content": "<script>x</script>"}, stripping) == ""
    assert embedding_text(fields, parsed_template("{content}")) == "<p></p>"


def test_a_brace_in_a_value_means_nothing() -> None:
    assert embedding_text({"title": "{content} {", "content": "C"}, parsed_template("{title}")) == "{content} {"


@pytest.mark.parametrize("template", ["", "no field", "{", "}", "{}", "{title!r}", "{title:>5}", "{{title}}", "{title"])
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed_template(template)


def test_the_fields_of_a_template_are_known() -> None:
    assert embedded_fields(parsed_template("a {title} {meta.x} b")) == ["title", "meta.x"]
    assert embedded_fields(("title",)) == ["title"]


@given(st.text(st.characters()))
def test_a_text_is_in_its_one_form_and_fit_to_be_written(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert once == unicodedata.normalize("NFC", once)
    assert not [letter for letter in once if unicodedata.category(letter) in {"Cc", "Cs"}]
    assert {letter for letter in once if unicodedata.category(letter) == "Cf"} <= {"\u200c", "\u200d"}
    text_hash(once)


@given(st.text())
def test_composed_and_decomposed_letters_are_one_text(text: str) -> None:
    assert normalised(unicodedata.normalize("NFD", text)) == normalised(unicodedata.normalize("NFC", text))


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
