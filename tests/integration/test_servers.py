"""Each server answers, and does what the product's tests take for granted."""

import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from elasticsearch import AsyncElasticsearch, AuthenticationException

from tests.servers.addresses import Kind
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.processes import group_alive
from tests.servers.start import Servers
from worker.demo.embedded import EmbeddedServers

INDEX_BODY: dict[str, Any] = {
    "settings": {
        "number_of_replicas": 0,
        "analysis": {
            "tokenizer": {
                "prefixes": {"type": "edge_ngram", "min_gram": 2, "max_gram": 15, "token_chars": ["letter", "digit"]}
            },
            "analyzer": {"prefixes": {"type": "custom", "tokenizer": "prefixes", "filter": ["lowercase"]}},
        },
    },
    "mappings": {
        "dynamic": "strict",
        "properties": {
            "title": {
                "type": "text",
                "analyzer": "english",
                "fields": {"prefixes": {"type": "text", "analyzer": "prefixes", "search_analyzer": "standard"}},
            }
        },
    },
}


@contextlib.asynccontextmanager
async def topic(bootstrap: str, partitions: int = 1) -> AsyncIterator[str]:
    name = f"servers-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1)])
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


async def produce(bootstrap: str, name: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(name, value, key=b"key")
    finally:
        await producer.stop()


async def consume(bootstrap: str, name: str, count: int) -> list[tuple[bytes | None, bytes | None]]:
    consumer = AIOKafkaConsumer(name, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return [(record.key, record.value) for record in [await consumer.getone() for _ in range(count)]]
    finally:
        await consumer.stop()


async def tokens(client: AsyncElasticsearch, index: str, **what: str) -> list[str]:
    analyzed = await client.indices.analyze(index=index, **what)  # type: ignore[arg-type]
    return [token["token"] for token in analyzed["tokens"]]


async def check_analysis(url: str) -> None:
    async with AsyncElasticsearch(url) as client:
        index = f"servers-{uuid4().hex[:8]}"
        await client.indices.create(index=index, **INDEX_BODY)
        assert await tokens(client, index, field="title", text="Running the shoes") == ["run", "shoe"]
        assert await tokens(client, index, field="title.prefixes", text="Wi-Fi 42") == ["wi", "fi", "42"]
        assert await tokens(client, index, analyzer="prefixes", text="Shoe") == ["sh", "sho", "shoe"]
        await client.index(index=index, id="1", document={"title": "Running shoes"}, refresh=True)
        found = await client.search(index=index, query={"match": {"title.prefixes": "sho"}})
        assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
        await client.indices.delete(index=index)


def call(method: str, url: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


async def test_kafka_gives_back_what_it_was_given(servers: Servers) -> None:
    async with topic(servers.kafka) as name:
        await produce(servers.kafka, name, b"value")
        assert await consume(servers.kafka, name, 1) == [(b"key", b"value")]


async def test_elasticsearch_analyzes_as_the_index_body_says(servers: Servers) -> None:
    await check_analysis(servers.elasticsearch)


@pytest.mark.needs_jvm
def test_the_oldest_supported_elasticsearch_takes_the_same_index_body(servers: Servers) -> None:
    # Spoken to without a client: one of major version 9 does not talk to a server of 8.
    index = f"{servers.elasticsearch_8}/servers-{uuid4().hex[:8]}"
    call("PUT", index, INDEX_BODY)
    analyzed = call("POST", f"{index}/_analyze", {"field": "title", "text": "Running the shoes"})
    assert [token["token"] for token in analyzed["tokens"]] == ["run", "shoe"]


@pytest.mark.needs_jvm
async def test_a_secured_elasticsearch_knows_its_user_and_api_keys(servers: Servers) -> None:
    url = servers.elasticsearch_secured
    anonymous_url = "http://" + url.rpartition("@")[2]
    async with AsyncElasticsearch(url) as client:
        key = await client.security.create_api_key(name="servers")
    async with AsyncElasticsearch(anonymous_url, api_key=key["encoded"]) as client:
        assert (await client.security.authenticate())["username"] == "elastic"
    async with AsyncElasticsearch(anonymous_url) as client:
        with pytest.raises(AuthenticationException):
            await client.cluster.health()


@pytest.mark.needs_debezium
async def test_an_inserted_row_arrives_as_a_debezium_record(servers: Servers) -> None:
    prefix = f"shop{uuid4().hex[:8]}"
    with psycopg.connect(servers.postgres.dsn, autocommit=True) as database:
        database.execute(f"CREATE TABLE {prefix} (id int PRIMARY KEY, tenant text NOT NULL, title text)")
        database.execute(f"INSERT INTO {prefix} VALUES (1, 'acme', 'before the connector')")
        connector = PostgresConnector(prefix=prefix, tables=[f"public.{prefix}"])
        servers.connect.add(connector)
        database.execute(f"INSERT INTO {prefix} VALUES (2, 'acme', 'after it')")
        records = await consume(servers.kafka, f"{prefix}.public.{prefix}", 2)
        servers.connect.restart(prefix)
        database.execute(f"DELETE FROM {prefix} WHERE id = 2")
        records = await consume(servers.kafka, f"{prefix}.public.{prefix}", 4)
        servers.connect.delete(prefix)
    changes = [json.loads(value) for _, value in records if value is not None]
    assert [(change["op"], (change["after"] or {}).get("id")) for change in changes] == [
        ("r", 1),
        ("c", 2),
        ("d", None),
    ]
    assert json.loads(records[1][0] or b"") == {"id": 2}
    assert changes[1]["source"]["lsn"] < changes[2]["source"]["lsn"]
    assert records[3][1] is None


async def test_a_server_that_was_killed_comes_back_at_its_address(servers: Servers) -> None:
    if servers.kind not in {Kind.EMBEDDED, Kind.JVM}:
        pytest.skip("only servers that we started ourselves are killed")
    bootstrap, process = servers.kafka, servers.process("kafka")
    process.kill()
    assert not process.running
    process.start()
    async with topic(bootstrap) as name:
        await produce(bootstrap, name, b"after")
        assert await consume(bootstrap, name, 1) == [(b"key", b"after")]


async def test_the_demo_servers_end_with_their_context(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path / "demo") as embedded:
        async with topic(embedded.kafka_bootstrap) as name:
            await produce(embedded.kafka_bootstrap, name, b"value")
        await check_analysis(embedded.elasticsearch_url)
        assert embedded.pid
        pid = embedded.pid
    assert not group_alive(pid)
