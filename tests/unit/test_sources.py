import re
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from tests.builders import event, record, row, rules
from worker.errors import RejectReason, SkipReason
from worker.records import Change, Rejection, Skip
from worker.runtime.sources import DECODERS, SourceReader, SourceReaders
from worker.settings.sources import SourceSettings
from worker.stages.decode import debezium

if TYPE_CHECKING:
    from worker.settings.fields import FieldSettings


def reader(name: str, *topics: str, pattern: str | None = None) -> SourceReader:
    compiled = None if pattern is None else re.compile(pattern)
    return SourceReader(frozenset(topics), compiled, debezium.decode, rules(name=name))


READERS = SourceReaders(
    [
        reader("articles", "cms.articles", "cms.pages"),
        reader("shards", pattern=r"shard\d+\.articles"),
        reader("rest", pattern=r".*"),
    ]
)


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("cms.articles", "articles"),
        ("cms.pages", "articles"),
        ("shard12.articles", "shards"),
        ("shard12.articles.old", "rest"),
        ("my-shard12.articles", "rest"),
        ("CMS.articles", "rest"),
    ],
)
def test_a_topic_belongs_to_who_names_it_then_to_the_first_whose_pattern_is_all_of_it(topic: str, name: str) -> None:
    assert READERS.of_topic(topic).rules.name == name
    assert READERS.of_topic(topic) is READERS.of_topic(topic)


def test_rules_are_found_by_the_sources_name() -> None:
    assert READERS.rules_of("shards").name == "shards"
    with pytest.raises(KeyError):
        READERS.rules_of("nobody")


def test_a_row_is_read_to_a_change_and_its_version() -> None:
    change, version = reader("articles").read(record(event(lsn=7)), watermark=3)
    assert isinstance(change, Change)
    assert (change.source, change.version, version) == ("articles", 7, 7)


def test_a_row_without_a_position_takes_the_watermark_and_does_not_raise_it() -> None:
    change, version = reader("articles").read(record(event("r", lsn=None)), watermark=3)
    assert isinstance(change, Change)
    assert (change.version, version) == (3, None)


def test_a_row_that_cannot_be_mapped_still_raises_the_watermark() -> None:
    """The watermark is a function of the log, not of the settings that map its rows."""
    rejection, version = reader("articles").read(record(event(after=row(tenant=None), lsn=7)), watermark=3)
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, version) == (RejectReason.TENANT_MISSING, 7)


def test_what_is_no_row_has_no_version() -> None:
    assert reader("articles").read(record(None), watermark=3) == (Skip(SkipReason.TOMBSTONE), None)
    assert reader("articles").read(record(event("m", lsn=9)), watermark=3) == (Skip(SkipReason.NOT_A_ROW), None)


def test_every_format_that_the_settings_allow_has_its_decoder() -> None:
    allowed = SourceSettings.model_fields["format"].annotation
    assert DECODERS.keys() == set(allowed.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("names", [["meta", "meta.title"], ["a.b.c", "a.b"]])
def test_a_field_cannot_be_a_value_and_the_object_around_another(names: list[str]) -> None:
    """The inner one would land beside it, over whatever field has its name there."""
    with pytest.raises(ValidationError, match="lies inside another field"):
        SourceSettings(name="a", topics=["t"], id=["id"], tenant="x", fields=dict.fromkeys(names, "c"), embed=names)


def test_fields_may_share_an_object_or_the_beginning_of_a_name() -> None:
    fields: dict[str, str | FieldSettings] = {"meta.a": "a", "meta.b": "b", "metadata": "c"}
    SourceSettings(name="a", topics=["t"], id=["id"], tenant="x", fields=fields, embed=["metadata"])
