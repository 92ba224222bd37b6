"""Records that are made to break what reads them: each is put aside or indexed, and those beside it go on."""

from dataclasses import replace

import orjson
import pytest

from tests.builders import event, row, rules
from tests.fakes.world import TOPIC, World
from worker.records import TopicPartition
from worker.stages.embedding_text import parsed_template
from worker.stages.rules import FieldType, SourceRules

pytestmark = pytest.mark.virtual_time

PLAIN = rules(fields={"title": "title", "content": "content"}, embed=("title",))
OF_PAGES = replace(PLAIN, embed=parsed_template("{title} {content}", strip_html=True))
OF_JSON = rules(fields={"title": "title", "content": ("content", FieldType.JSON)}, embed=("title",))


def nested(value: object, levels: int) -> object:
    for _ in range(levels):
        value = [value]
    return value


def with_default(levels: int) -> bytes:
    """A delete whose schema gives the tenant's column a deep default."""
    tenant = {"field": "tenant", "type": "array", "default": "HERE"}
    schema = {"type": "struct", "fields": [{"field": "after", "type": "struct", "fields": [tenant]}]}
    return orjson.dumps({"schema": schema, "payload": event("d", lsn=11)}).replace(b'"HERE"', deep(levels))


def deep(levels: int) -> bytes:
    return b"[" * levels + b"0" + b"]" * levels


JSON_IN_LISTS = nested(orjson.dumps(nested(1, 198)).decode(), 58)


@pytest.mark.parametrize(
    ("given", "value", "key", "verdict"),
    [
        pytest.param(
            OF_PAGES, event("u", row(2, content=f"<p>&#{'9' * 5000};</p>"), lsn=11), None, "indexed", id="an entity"
        ),
        pytest.param(OF_JSON, event("u", row(2, content=JSON_IN_LISTS), lsn=11), None, "field_invalid", id="levels"),
        pytest.param(
            PLAIN, with_default(1000), b'{"id":2,"tenant":' + deep(1000) + b"}", "tenant_missing", id="a deep default"
        ),
    ],
)
async def test_what_is_made_to_break_a_stage_is_one_records_matter(
    given: SourceRules, value: object, key: bytes | None, verdict: str
) -> None:
    world = World(rules=given)
    world.upsert(1, "before", lsn=10, content="[]")
    value = value if isinstance(value, bytes) else orjson.dumps(value)
    world.log.append(TopicPartition(TOPIC, 0), key or b'{"id":2}', value)
    world.upsert(3, "behind", lsn=12, content="[]")
    await world.run_to_the_end()
    assert world.verdicts == ({"indexed": 3} if verdict == "indexed" else {"indexed": 2, verdict: 1})
    assert world.committed() == 3
