from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from worker.settings.sources import SourceSettings
from worker.stages.rules import EmbedTemplate, FieldRule, FieldType, KeyMissing, OnBadField

SOURCE: dict[str, Any] = {
    "name": "articles",
    "topics": ["t"],
    "id": ["id"],
    "tenant": "tenant",
    "fields": {"title": "title", "body": "content"},
    "embed": ["title"],
}


def source(text: str = "") -> SourceSettings:
    return SourceSettings.model_validate({**SOURCE, **(yaml.safe_load(text) or {})})


def test_a_field_is_a_column_or_all_that_can_be_said_of_one() -> None:
    given = source("""
fields:
  title: title
  price: {from: amount, type: decimal, scale: 2, on_bad_field: null}
  lang: {from: lang, default: de}
  gone: {from: gone, default: null}
""")
    assert given.rules().fields == (
        FieldRule("title", "title", FieldType.AS_IS),
        FieldRule("price", "amount", FieldType.DECIMAL, scale=2, on_bad=OnBadField.NULL),
        FieldRule("lang", "lang", FieldType.AS_IS, has_default=True, default="de"),
        FieldRule("gone", "gone", FieldType.AS_IS, has_default=True),
    )
    assert SourceSettings.model_validate(given.model_dump(mode="json", by_alias=True)).rules() == given.rules()


@pytest.mark.parametrize("default", ["text", "1", 1, 1.5, True, False, 0])
def test_a_default_keeps_its_type(default: object) -> None:
    (rule,) = (
        SourceSettings.model_validate({**SOURCE, "fields": {"title": {"from": "title", "default": default}}})
        .rules()
        .fields
    )
    assert rule.default == default
    assert type(rule.default) is type(default)


def test_what_is_embedded_is_fields_or_a_template() -> None:
    assert source().rules().embed == ("title",)
    assert source("embed: {template: '{title}. {body}', strip_html: true}").rules().embed == EmbedTemplate(
        (("", "title"), (". ", "body")), strip_html=True
    )


def test_a_key_may_come_from_the_row_unless_that_is_refused() -> None:
    assert source().rules().key_missing is KeyMissing.ROW
    assert source("key_missing: reject").rules().key_missing is KeyMissing.REJECT


def test_dropped_columns_are_known() -> None:
    assert source("drop: [secret]").rules().dropped == {"secret"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "embed: {template: '{titel}'}",
            "embed names 'titel', which is not one of its fields: title, body; did you mean 'title'?",
        ),
        ("embed: [content]", "embed names 'content', which is not one of its fields: title, body"),
        (
            "embed: {template: 'nothing'}",
            "template: it names no document field: write one between braces, such as {title}",
        ),
        ("embed: {template: '{title!r}'}", "only names of document fields stand between braces"),
        ("embed: {template: '{title'}", "template: expected '}' before end of string"),
        ("embed: title", "should be a list of document fields, or a mapping such as {template:"),
        ("embed: []", "at least 1 item"),
        ("drop: [content]", "drop: column 'content' is used by this source"),
        ("drop: [tenant]", "drop: column 'tenant' is used by this source"),
        ("fields: {title: {from: title, scale: 2}}", "scale goes with type: decimal"),
        ("fields: {title: {from: title, type: decimal, scale: 100000}}", "less than or equal to 1000"),
        ("fields: {title: {from: title, default: [1]}}", "default"),
        ("fields: {title: {from: title, default: .nan}}", "finite"),
        (f"fields: {{title: {{from: title, default: {10**29}}}}}", "default cannot be written as JSON"),
        ('fields: {title: {from: title, default: "\\ud800"}}', "default"),
        ("fields: {title: {from: title, on_bad_field: drop}}", "'reject' or 'null'"),
        ("key_missing: key", "'reject' or 'row'"),
    ],
)
def test_a_mistake_is_named(text: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        source(text)
    assert sentence in str(refused.value)
