"""A first version: for every change event one call of the model, and one of Elasticsearch.

Written as its user would write it who has read the clients' introductions; settings from the environment.
"""

import asyncio
import contextlib
import json
import os

from aiokafka import AIOKafkaConsumer
from elasticsearch import AsyncElasticsearch, NotFoundError

from tests.benchmarks.baselines.model import load

FIELDS = ("tenant", "title", "content", "tags", "url", "published")


async def main() -> None:
    model = load(os.environ["MODEL"])
    consumer = AIOKafkaConsumer(
        *os.environ["TOPICS"].split(","),
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        session_timeout_ms=45_000,
    )
    async with AsyncElasticsearch(os.environ["ELASTICSEARCH"]) as es, consumer:
        async for message in consumer:
            if message.value is None:  # the tombstone after a delete
                continue
            event = json.loads(message.value)
            key = json.loads(message.key)
            index = f"{os.environ['INDEX']}-{event['source']['table']}"
            id_ = "|".join(str(value) for value in key.values())
            if event["op"] == "d":
                tenant = key.get("tenant") or event["before"].get("tenant")
                with contextlib.suppress(NotFoundError):
                    await es.delete(index=index, id=id_, routing=tenant or None)
            else:
                row = event["after"]
                embedding = model.encode(f"{row['title']} {row['content'] or ''}", show_progress_bar=False)
                document = {name: row[name] for name in FIELDS if name in row}
                document["embedding"] = embedding.tolist()
                await es.index(index=index, id=id_, routing=row["tenant"], document=document)


if __name__ == "__main__":
    asyncio.run(main())
