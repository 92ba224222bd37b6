"""What every sink promises, on the fake and on a real server."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from tests.contract.index_bench import (
    DIMENSIONS,
    Bench,
    article,
    bench_of,
    send,
    statuses,
    tombstone_body,
    write,
)
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_sink import ElasticSink
from worker.errors import Halt, HaltReason, RetryLater, RetryReason
from worker.records import Place, VersionType
from worker.settings import ElasticsearchSettings
from worker.stages.documents import hard

ONE, TWO, THREE = (Place(f"acme/{number}", "acme") for number in (1, 2, 3))


@pytest.fixture(params=["fake", "simulated", "real"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with bench_of(request) as one:
        yield one


async def test_a_new_document_is_created_and_a_newer_version_replaces_it(bench: Bench) -> None:
    assert await statuses(bench.sink, write(ONE, 5, article("a"))) == [201]
    assert await statuses(bench.sink, write(ONE, 6, article("b"))) == [200]


@pytest.mark.parametrize("version", [5, 4, 1])
async def test_an_equal_or_older_version_is_a_conflict(bench: Bench, version: int) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    (response,) = await send(bench.sink, write(ONE, version, article("b")))
    assert (response.status, response.error_type) == (409, "version_conflict_engine_exception")
    assert "current version [5]" in response.reason


async def test_with_gte_an_equal_version_replaces_and_an_older_one_does_not(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    gte = VersionType.EXTERNAL_GTE
    assert await statuses(bench.sink, write(ONE, 5, article("b"), gte), write(ONE, 4, article("c"), gte)) == [200, 409]
    (stored,) = await bench.store.stored([ONE], [ONE])
    assert stored is not None
    assert stored.body["title"] == "b"


async def test_versions_are_as_large_as_a_long(bench: Bench) -> None:
    largest = (127 << 56) + (1 << 55)
    assert await statuses(bench.sink, write(ONE, largest, article("a", largest))) == [201]
    assert await statuses(bench.sink, write(ONE, largest - 1, article("b"))) == [409]
    (stored,) = await bench.store.stored([ONE])
    assert stored is not None
    assert stored.version == largest


async def test_a_tombstone_keeps_older_versions_out_and_lets_newer_ones_in(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    assert await statuses(bench.sink, write(ONE, 6, tombstone_body(6))) == [200]
    assert await statuses(bench.sink, write(ONE, 5, article("late"))) == [409]
    assert await statuses(bench.sink, write(ONE, 7, article("again"))) == [200]


async def test_a_real_delete_takes_the_document_away(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    assert await statuses(bench.sink, hard(write(ONE, 6, tombstone_body(6)))) == [200]
    assert await bench.store.stored([ONE]) == [None]


@pytest.mark.needs_jvm  # the embedded server remembers no deletes
async def test_a_real_delete_is_remembered_for_a_while_and_lets_only_newer_versions_in(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    await send(bench.sink, hard(write(ONE, 6, tombstone_body(6))))
    assert await statuses(bench.sink, write(ONE, 5, article("late")), write(ONE, 6, article("equal"))) == [409, 409]
    assert await statuses(bench.sink, write(ONE, 7, article("again"))) == [201]


async def test_a_real_delete_that_is_older_is_a_conflict(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    assert await statuses(
        bench.sink, hard(write(ONE, 4, tombstone_body(4))), hard(write(ONE, 5, tombstone_body(5)))
    ) == [409, 409]
    assert await bench.store.stored([ONE]) != [None]


async def test_with_gte_a_real_delete_takes_what_is_as_old_as_itself(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 5, article("a")))
    assert await statuses(bench.sink, hard(write(ONE, 5, tombstone_body(5), VersionType.EXTERNAL_GTE))) == [200]


async def test_a_real_delete_of_nothing_is_404_without_an_error(bench: Bench) -> None:
    (response,) = await send(bench.sink, hard(write(ONE, 5, tombstone_body(5))))
    assert (response.status, response.error_type) == (404, "")


@pytest.mark.needs_jvm  # the embedded server remembers no deletes
async def test_a_real_delete_of_nothing_is_remembered(bench: Bench) -> None:
    await send(bench.sink, hard(write(ONE, 5, tombstone_body(5))))
    assert await statuses(bench.sink, write(ONE, 4, article("late"))) == [409]


@pytest.mark.needs_jvm  # the embedded server remembers no deletes
async def test_after_gc_deletes_a_real_delete_is_forgotten_and_anything_shows_the_row_again(bench: Bench) -> None:
    """What `deletes: hard` gives up, and a tombstone does not."""
    await send(bench.sink, hard(write(ONE, 6, tombstone_body(6))), write(TWO, 6, tombstone_body(6)))
    await bench.forget_deletes()
    assert await statuses(bench.sink, write(ONE, 4, article("a zombie's")), write(TWO, 4, article("x"))) == [201, 409]


async def test_real_deletes_and_documents_go_together_in_one_request(bench: Bench) -> None:
    await send(bench.sink, write(ONE, 1, article("a")))
    assert await statuses(
        bench.sink,
        hard(write(ONE, 2, tombstone_body(2))),
        write(TWO, 2, article("b")),
        hard(write(THREE, 2, tombstone_body(2))),
    ) == [200, 201, 404]


async def test_responses_come_in_the_order_of_the_items(bench: Bench) -> None:
    await send(bench.sink, write(TWO, 5, article("old")))
    wrong = write(THREE, 1, article("x", unknown="field"))
    assert await statuses(bench.sink, write(ONE, 1, article("a")), write(TWO, 4, article("b")), wrong) == [
        201,
        409,
        400,
    ]


async def test_one_bad_document_leaves_the_others_alone(bench: Bench) -> None:
    bad = write(TWO, 1, article("x", embedding=np.ones(DIMENSIONS + 1, dtype=np.float32)))
    assert await statuses(bench.sink, write(ONE, 1, article("a")), bad, write(THREE, 1, article("c"))) == [
        201,
        400,
        201,
    ]
    assert [one is not None for one in await bench.store.stored([ONE, TWO, THREE])] == [True, False, True]


async def test_a_field_that_the_mapping_does_not_know_is_refused_with_its_reason(bench: Bench) -> None:
    (response,) = await send(bench.sink, write(ONE, 1, article("a", colour="red")))
    assert (response.status, response.error_type) == (400, "strict_dynamic_mapping_exception")
    assert "colour" in response.reason


async def test_a_zero_vector_is_refused(bench: Bench) -> None:
    zero = np.zeros(DIMENSIONS, dtype=np.float32)
    assert await statuses(bench.sink, write(ONE, 1, article("a", embedding=zero))) == [400]


async def test_a_missing_alias_is_said_item_by_item_and_does_not_become_an_index(bench: Bench) -> None:
    # That nothing was created, the bench checks at its end.
    responses = await send(bench.missing_sink, write(ONE, 1, article("a")), write(TWO, 1, article("b")))
    assert [(response.status, response.error_type) for response in responses] == [
        (404, "index_not_found_exception")
    ] * 2


async def test_a_probe_of_a_missing_alias_halts(bench: Bench) -> None:
    await bench.sink.probe()
    with pytest.raises(Halt) as halt:
        await bench.missing_sink.probe()
    assert halt.value.reason is HaltReason.TARGET_MISSING


@pytest.mark.needs_jvm  # the embedded server takes such an id
async def test_an_id_that_is_too_long_fails_the_whole_request(bench: Bench) -> None:
    with pytest.raises(Halt, match="too long"):
        await send(bench.sink, write(ONE, 1, article("a")), write(Place("x" * 513, "acme"), 1, article("b")))


async def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    client = build_client(ElasticsearchSettings.model_validate({"hosts": ["http://127.0.0.1:1"]}))
    sink = ElasticSink(client, "articles-write")
    with pytest.raises(RetryLater) as fault:
        await send(sink, write(ONE, 1, article("a")))
    assert fault.value.reason is RetryReason.CONNECTION
    await sink.close()
