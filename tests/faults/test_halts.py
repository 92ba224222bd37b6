"""Faults that are no record's: the worker stays, says what is wrong, commits nothing, and goes on when it is mended."""

import asyncio
import contextlib
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.e2e.process import until
from tests.faults.conftest import NewStage
from tests.faults.model import POISON
from tests.faults.stage import PARTITIONS, Change, Stage
from tests.servers.proxy import Way

pytestmark = pytest.mark.needs_jvm

BULK = b"/_bulk"
PROBE = {"halt_probe_interval": "1s"}


@contextlib.contextmanager
def halted(stage: Stage, reason: str, rows: int = 10) -> Iterator[None]:
    """Send rows into a fault: a halt with this reason, and not one of them committed or put aside. Then all go on."""
    committed, letters = stage.committed(), len(stage.dead_letters())
    stage.send_rows(range(500, 500 + rows), f"{reason} {time.monotonic()}")
    stage.until_halted(reason)
    time.sleep(2)
    stage.until_halted(reason)
    assert stage.committed() == committed
    assert len(stage.dead_letters()) == letters, "the fault was not the records'"
    yield
    stage.until_going_on()
    stage.quiesce()


def test_a_disk_at_flood_stage(healthy: Stage) -> None:
    healthy.block(**{"index.blocks.read_only_allow_delete": True})
    with halted(healthy, "disk_flood_stage"):
        healthy.block(**{"index.blocks.read_only_allow_delete": None})


@pytest.mark.parametrize("block", ["write", "read_only"])
def test_a_write_block(healthy: Stage, block: str) -> None:
    healthy.block(**{f"index.blocks.{block}": True})
    with halted(healthy, "write_blocked"):
        healthy.block(**{f"index.blocks.{block}": None})


def test_a_closed_index(healthy: Stage) -> None:
    healthy.call("POST", f"/{healthy.physical}/_close")
    with halted(healthy, "target_misconfigured"):
        healthy.call("POST", f"/{healthy.physical}/_open")


@pytest.mark.parametrize("creates", [True, False], ids=["indices create themselves", "they do not"])
def test_a_missing_alias_becomes_no_index(healthy: Stage, creates: bool) -> None:  # noqa: FBT001
    write = f"{healthy.name}-write"
    healthy.of_cluster(action__auto_create_index=str(creates).lower())
    try:
        change_alias(healthy, remove={"index": healthy.physical, "alias": write})
        with halted(healthy, "target_missing"):
            assert list(healthy.call("GET", f"/{healthy.name}*?expand_wildcards=all")) == [healthy.physical]
            change_alias(healthy, add={"index": healthy.physical, "alias": write, "is_write_index": True})
    finally:
        healthy.of_cluster(action__auto_create_index=None)


def test_an_alias_without_a_write_index(healthy: Stage) -> None:
    write = f"{healthy.name}-write"
    change_alias(healthy, add={"index": healthy.physical, "alias": write, "is_write_index": False})
    with halted(healthy, "target_misconfigured"):
        change_alias(healthy, add={"index": healthy.physical, "alias": write, "is_write_index": True})


def test_an_index_in_the_place_of_the_alias(new_stage: NewStage) -> None:
    stage = new_stage(delivery=PROBE)
    stage.worker.start()
    write = f"{stage.name}-write"
    change_alias(stage, remove={"index": stage.physical, "alias": write})
    stage.call("PUT", f"/{write}", {"settings": {"number_of_replicas": 0}})
    with halted(stage, "target_misconfigured"):
        assert stage.call("GET", f"/{write}/_count")["count"] == 0
        stage.call("DELETE", f"/{write}")
        change_alias(stage, add={"index": stage.physical, "alias": write, "is_write_index": True})


def change_alias(stage: Stage, **actions: dict[str, Any]) -> None:
    stage.call("POST", "/_aliases", {"actions": [actions]})


def test_a_deploy_that_makes_every_document_bad_halts_before_the_topic_is_drained(new_stage: NewStage) -> None:
    """The source begins to write a date that the index does not take."""
    stage = new_stage(delivery={"halt_probe_interval": "4s", "rejections_in_a_row": 20})
    stage.worker.start()
    stage.send_rows(range(10))
    stage.settle()
    # All of them are read before the first is rejected: one that came later would be a halt of its own.
    stage.elasticsearch.hold(Way.UP, about=BULK)
    stage.send(*(Change(number, "bad", published="tomorrow", spoilt=True) for number in range(100, 300)))
    stage.until(lambda now: now.consumed == 210, "all is read")
    stage.elasticsearch.heal()
    stage.until_halted("mass_rejection")
    # Mended at the source: good rows follow. What is bad stays bad, and goes to the dead letters one at a probe.
    stage.send_rows(range(20))
    time.sleep(5)
    assert 0 < len(stage.dead_letters()) < 40
    assert stage.total("syncline_halts_total", reason="mass_rejection") == 1
    assert stage.worker.terminate(within_s=10) == 0
    # An operator decides that they all belong there.
    edit(stage.worker.config, "rejections_in_a_row: 20", "rejections_in_a_row: 0\n  rejection_share: 1")
    stage.worker.start()
    stage.quiesce()
    assert len({(one["syncline-partition"], one["syncline-offset"]) for one in stage.dead_letters()}) == 200


def edit(file: Path, text: str, instead: str) -> None:
    content = file.read_text()
    assert text in content
    file.write_text(content.replace(text, instead))


# -- security


@pytest.fixture
def secured(new_stage: NewStage, tmp_path: Path) -> Stage:
    """A stage whose worker logs in with an API key from a file."""
    key = tmp_path / "api-key"
    stage = new_stage(secured=True, delivery=PROBE, elasticsearch={"api_key_file": str(key)})
    key.write_text(new_key(stage))
    return stage


def new_key(stage: Stage, *, privileges: tuple[str, ...] = (), expiration: str | None = None) -> str:
    allowed = privileges or ("index", "read", "view_index_metadata")
    names = [f"{stage.name}-write", stage.name, stage.physical]
    role = {"cluster": ["monitor"], "indices": [{"names": names, "privileges": list(allowed)}]}
    body: dict[str, Any] = {"name": stage.name, "role_descriptors": {"worker": role}}
    if expiration is not None:
        body["expiration"] = expiration
    return str(stage.call("POST", "/_security/api_key", body)["encoded"])


def key_file(stage: Stage) -> Path:
    return Path(stage.settings["elasticsearch"]["api_key_file"])


def invalidate(stage: Stage) -> None:
    stage.call("DELETE", "/_security/api_key", {"name": stage.name})


def test_a_key_that_is_revoked_and_replaced_later(secured: Stage) -> None:
    secured.worker.start()
    secured.send_rows(range(3))
    secured.settle()
    invalidate(secured)
    with halted(secured, "unauthenticated"):
        key_file(secured).write_text(new_key(secured))


def test_a_key_that_expires(secured: Stage) -> None:
    key_file(secured).write_text(new_key(secured, expiration="12s"))
    secured.worker.start()
    time.sleep(12)
    with halted(secured, "unauthenticated"):
        key_file(secured).write_text(new_key(secured))


def test_a_key_that_is_replaced_before_it_is_revoked_halts_nothing(secured: Stage) -> None:
    secured.worker.start()
    secured.send_rows(range(3))
    secured.settle()
    fresh = new_key(secured)
    old = key_file(secured).read_text()
    key_file(secured).write_text(fresh)
    secured.call("DELETE", "/_security/api_key", {"ids": [decoded_id(old)]})
    secured.send_rows(range(10), "afterwards")
    secured.quiesce()
    assert secured.total("syncline_halts_total") == 0


def decoded_id(key: str) -> str:
    return b64decode(key).decode().partition(":")[0]


def test_a_key_that_may_not_write(secured: Stage) -> None:
    secured.worker.start()
    secured.send_rows(range(3))
    secured.settle()
    narrow = new_key(secured, privileges=("read", "view_index_metadata"))
    old = decoded_id(key_file(secured).read_text())
    key_file(secured).write_text(narrow)
    secured.call("DELETE", "/_security/api_key", {"ids": [old]})
    with halted(secured, "forbidden"):
        key_file(secured).write_text(new_key(secured))
        invalidate_id(secured, narrow)


def invalidate_id(stage: Stage, key: str) -> None:
    stage.call("DELETE", "/_security/api_key", {"ids": [decoded_id(key)]})


# -- sizes: the secured server takes requests of up to 600 KiB


def test_requests_that_are_too_large_are_split_and_a_document_that_never_fits_is_put_aside(secured: Stage) -> None:
    secured.worker.start()
    secured.elasticsearch.hold(Way.UP, about=b"/_mget")
    large = "x" * 150_000
    secured.send_rows(range(6), content=large)
    secured.send(Change(6, "never fits", content="x" * 800_000, spoilt=True), Change(7, "small"))
    time.sleep(2)
    secured.elasticsearch.heal()
    secured.quiesce()
    (letter,) = secured.dead_letters()
    assert letter["syncline-reason"] == "document_too_large"


# -- the model


@pytest.mark.parametrize("fault", ["fail", "memory", "nan", "short"])
def test_a_model_that_fails_on_everything(healthy: Stage, fault: str) -> None:
    healthy.model.set(fault)
    with halted(healthy, "embedder_failed"):
        healthy.model.set("")


def test_a_text_that_breaks_the_model_and_others_that_do_not(new_stage: NewStage) -> None:
    stage = new_stage(delivery=PROBE)
    stage.worker.start()
    stage.send(Change(1, "good"), Change(2, POISON, spoilt=True), Change(3, "good as well"))
    stage.quiesce()
    (letter,) = stage.dead_letters()
    assert letter["syncline-reason"] == "embedding_failed"
    assert "the model breaks on a text" in letter["syncline-message"]
    assert stage.total("syncline_halts_total") == 0


# -- Kafka


def test_a_dead_letter_topic_that_cannot_be_written_to(new_stage: NewStage) -> None:
    stage = new_stage(delivery=PROBE)
    stage.worker.start()
    stage.send_rows(range(4))
    stage.settle()
    stage.background.run(limit(stage, 1))
    committed = stage.committed()
    stage.send_raw((b"{}", b"garbage", 0))
    stage.send_rows(range(4), "behind")
    stage.until_halted("dead_letters_unavailable")
    first = TopicPartition(stage.topic, 0)
    assert stage.committed()[first] == committed[first]
    stage.background.run(limit(stage, 1_000_000))
    stage.until_going_on()
    stage.quiesce()
    assert len(stage.dead_letters()) == 1


async def limit(stage: Stage, size: int) -> None:
    """Let the dead-letter topic take records up to so many bytes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.servers.kafka)
    await admin.start()
    try:
        configs = {"max.message.bytes": str(size)}
        resource = ConfigResource(ConfigResourceType.TOPIC, stage.dead_letter_topic, configs)
        await admin.alter_configs([resource])
    finally:
        await admin.close()


def test_records_that_retention_has_deleted_unread(new_stage: NewStage) -> None:
    """Changes are lost: the worker says so and waits for whoever mends it."""
    stage = new_stage(delivery=PROBE)
    stage.worker.start()
    stage.send_rows(range(6))
    stage.settle()
    assert stage.worker.terminate(within_s=10) == 0
    lost = stage.send_rows(range(6), "lost")
    stage.changes = [change for change in stage.changes if change not in lost]
    stage.background.run(delete_records(stage, dict.fromkeys(range(PARTITIONS), 6)))
    stage.send_rows(range(3), "left")
    stage.worker.launch()
    until(lambda: stage.worker.logged("offsets_lost"), lambda: stage.worker.told("no halt"), 20)
    stage.until_halted("offsets_lost")
    assert sum(stage.committed().values()) == 6
    edit(stage.worker.config, "kafka:", "kafka:\n  on_lost_offsets: earliest")
    stage.worker.terminate(within_s=10)
    stage.worker.start()
    stage.quiesce()
    assert stage.worker.logged("changes may be missing")


async def delete_records(stage: Stage, before: dict[int, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.servers.kafka)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(stage.topic, number): RecordsToDelete(offset) for number, offset in before.items()}
        )
    finally:
        await admin.close()


async def create_anew(stage: Stage) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.servers.kafka)
    await admin.start()
    try:
        await admin.delete_topics([stage.topic])
        while stage.topic in await admin.list_topics():  # noqa: ASYNC110 - a broker has no event to wait for
            await asyncio.sleep(0.05)
        # Where it never sees the topic gone, it goes on at its position in a new log that is as long.
        await asyncio.to_thread(until, lambda: stage.worker.logged("partitions revoked"), "the end is not seen")
        await admin.create_topics([NewTopic(stage.topic, num_partitions=PARTITIONS, replication_factor=1)])
        await stage.producer.client.force_metadata_update()
    finally:
        await admin.close()


def test_a_group_that_has_lost_its_offsets(new_stage: NewStage) -> None:
    stage = new_stage(delivery=PROBE, kafka={"start_from": "fail"})
    stage.send_rows(range(6))
    stage.worker.launch()
    until(lambda: stage.worker.logged("no_committed_offset"), lambda: stage.worker.told("no halt"), 20)
    stage.until_halted("no_committed_offset")
    edit(stage.worker.config, "start_from: fail", "start_from: earliest")
    stage.worker.terminate(within_s=10)
    stage.worker.start()
    stage.quiesce()


@pytest.mark.parametrize("more", [False, True], ids=["fewer records", "more records"])
def test_a_topic_that_is_created_anew(new_stage: NewStage, more: bool) -> None:  # noqa: FBT001
    stage = new_stage(delivery=PROBE)
    stage.worker.start()
    stage.send_rows(range(6))
    stage.settle()
    stage.background.run(create_anew(stage))
    stage.send_rows(range(20 if more else 2), "anew")
    stage.until(lambda now: now.resolved == len(stage.changes), "all of the new topic is read")
    stage.quiesce()
