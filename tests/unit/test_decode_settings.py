"""What an operator declares of a source's events reaches the stages."""

from typing import get_args

import pytest
from pydantic import ValidationError

from worker.runtime.sources import DECODERS
from worker.settings.sources import SourceSettings
from worker.stages.rules import TombstoneMeaning


def source(**changed: object) -> SourceSettings:
    said = {"name": "a", "topics": ["t"], "id": ["id"], "tenant": "org", "fields": {"x": "title"}, "embed": ["x"]}
    return SourceSettings.model_validate(said | changed)


def test_every_format_has_a_decoder() -> None:
    assert set(get_args(SourceSettings.model_fields["format"].annotation)) == DECODERS.keys()


def test_the_defaults_are_debeziums() -> None:
    given = source().rules()
    assert source().format == "debezium"
    assert given.table is None
    assert given.version_column is None
    assert given.tombstone is TombstoneMeaning.FOLLOWS_DELETE
    assert given.unavailable_placeholder == "__debezium_unavailable_value"


def test_what_is_declared_becomes_a_rule() -> None:
    given = source(table="public.a", version="rev", tombstone="delete", unavailable_placeholder="?").rules()
    assert given.table == "public.a"
    assert given.version_column == "rev"
    assert given.tombstone is TombstoneMeaning.DELETE
    assert given.unavailable_placeholder == "?"


def test_the_columns_that_are_looked_at_are_those_of_key_tenant_version_and_fields() -> None:
    assert source(version="rev").rules().wanted_columns == {"id", "org", "rev", "title"}


@pytest.mark.parametrize(
    "changed",
    [{"format": "avro"}, {"tombstone": "yes"}, {"table": ""}, {"version": ""}, {"unavailable_placeholder": ""}],
)
def test_what_means_nothing_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        source(**changed)
