"""What one document field is made of, and which fields are embedded."""

from typing import Annotated, Any, Final, Self

import orjson
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    Tag,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from worker.settings.types import Group
from worker.stages.embedding_text import parsed_template
from worker.stages.rules import EmbedTemplate, FieldRule, FieldType, OnBadField

_MOST_DIGITS: Final = 1000


def _null_by_name(value: object) -> object:
    # YAML reads a bare `null` as nothing at all.
    return OnBadField.NULL if value is None else value


_OnBadField = Annotated[
    OnBadField, BeforeValidator(_null_by_name), WithJsonSchema({"enum": [*(one.value for one in OnBadField), None]})
]


class FieldSettings(Group):
    """One document field: where its value comes from and what it is."""

    from_: str = Field(alias="from", min_length=1)
    """Column of the row."""
    type: FieldType = FieldType.AS_IS
    """What the JSON value means, where neither JSON nor a schema in the event says it: a Debezium `timestamp` without
    its schema is a bare integer. A column without a time zone is `local_...`; `epoch_...`, `time` and `timestamp` are
    for moments, and end in `Z`. `number`, `integer`, `boolean`, `text` and `json` apply to events with a schema too.
    """
    scale: int | None = Field(default=None, ge=-_MOST_DIGITS, le=_MOST_DIGITS)
    """Digits behind the point, for type `decimal` where the value is bytes; not needed where it tells its own."""
    default: str | bool | int | FiniteFloat | None = None
    """The field's value where the row has no such column. Without a default such a row is rejected."""
    on_bad_field: _OnBadField = OnBadField.REJECT
    """What to do with a value that is not of its type: `reject` the record, or make the field `null`."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.scale is not None and self.type is not FieldType.DECIMAL:
            raise ValueError("scale goes with type: decimal")
        try:
            orjson.dumps(self.default)
        except TypeError as error:
            raise ValueError(f"default cannot be written as JSON: {error}") from None
        return self

    @model_serializer(mode="wrap")
    def _without_a_default_that_is_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A `default: null` that is printed would be one when it is read again.
        fields: dict[str, Any] = handler(self)
        if "default" not in self.model_fields_set:
            fields.pop("default", None)
        return fields

    def rule(self, name: str) -> FieldRule:
        """Return this as the rule of the document field `name`."""
        return FieldRule(
            name=name,
            column=self.from_,
            type=self.type,
            scale=self.scale,
            on_bad=self.on_bad_field,
            has_default="default" in self.model_fields_set,
            default=self.default,
        )


class EmbedSettings(Group):
    """A text over document fields."""

    template: str = Field(min_length=1)
    """Text with document fields in braces, such as `"{title}. {content}"`; a brace that means itself is doubled."""
    strip_html: bool = False
    """Whether the fields hold HTML: tags, scripts and styles are left out, entities decoded."""

    @model_validator(mode="after")
    def _is_template(self) -> Self:
        try:
            self.rule()
        except ValueError as error:
            raise ValueError(f"template: {error}") from None
        return self

    def rule(self) -> EmbedTemplate:
        """Return this as the value that the stages decide with."""
        return parsed_template(self.template, strip_html=self.strip_html)


_COLUMN: Final = "<column>"
_RULE: Final = "<rule>"
_NAMES: Final = "<names>"
_TEMPLATE: Final = "<template>"
FORM_TAGS: Final = frozenset({_COLUMN, _RULE, _NAMES, _TEMPLATE})
"""What pydantic writes into the path of a mistake inside one of several forms; no operator wrote it."""


def _form_of_field(value: object) -> str | None:
    if isinstance(value, str):
        return _COLUMN
    return _RULE if isinstance(value, (dict, FieldSettings)) else None


def _form_of_embed(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        return _NAMES
    return _TEMPLATE if isinstance(value, (dict, EmbedSettings)) else None


# Told apart by form, so that a mistake in one form is not explained a second time as the other.
FieldForm = Annotated[
    Annotated[str, Field(min_length=1), Tag(_COLUMN)] | Annotated[FieldSettings, Tag(_RULE)],
    Discriminator(
        _form_of_field,
        custom_error_type="field_form",
        custom_error_message="should be a column name, or a mapping such as {from: column, type: json}",
    ),
]
EmbedForm = Annotated[
    Annotated[list[str], Field(min_length=1), Tag(_NAMES)] | Annotated[EmbedSettings, Tag(_TEMPLATE)],
    Discriminator(
        _form_of_embed,
        custom_error_type="embed_form",
        custom_error_message="should be a list of document fields, or a mapping such as {template: '{title}. {body}'}",
    ),
]
