"""The usual pipeline: batches of 500, encoded together, through the client's own helper `async_streaming_bulk`.

Written as its user would write it who has read about bulk indexing; settings from the environment.
"""

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from elasticsearch import AsyncElasticsearch
from elasticsearch.helpers import async_streaming_bulk

from tests.benchmarks.baselines.model import load

FIELDS = ("tenant", "title", "content", "tags", "url", "published")
BATCH = 500
_log = logging.getLogger(__name__)


def actions(messages: list[Any], model: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    events = [(json.loads(message.key), json.loads(message.value)) for message in messages]
    rows = [event["after"] for _, event in events if event["op"] != "d"]
    texts = [f"{row['title']} {row['content'] or ''}" for row in rows]
    vectors = iter(model.encode(texts, show_progress_bar=False).tolist() if texts else [])
    for key, event in events:
        action = {
            "_index": f"{os.environ['INDEX']}-{event['source']['table']}",
            "_id": "|".join(str(value) for value in key.values()),
        }
        if event["op"] == "d":
            if tenant := key.get("tenant") or event["before"].get("tenant"):
                action["routing"] = tenant
            yield {**action, "_op_type": "delete"}
        else:
            row = event["after"]
            document = {name: row[name] for name in FIELDS if name in row}
            yield {**action, "routing": row["tenant"], "_source": {**document, "embedding": next(vectors)}}


async def main() -> None:
    model = load(os.environ["MODEL"])
    consumer = AIOKafkaConsumer(
        *os.environ["TOPICS"].split(","),
        bootstrap_servers=os.environ["KAFKA"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        session_timeout_ms=45_000,
        enable_auto_commit=False,
    )
    async with AsyncElasticsearch(os.environ["ELASTICSEARCH"], request_timeout=60) as es, consumer:
        while True:
            batches = await consumer.getmany(timeout_ms=500, max_records=BATCH)
            messages = [one for batch in batches.values() for one in batch if one.value is not None]
            async for ok, result in async_streaming_bulk(
                es,
                actions(messages, model),
                chunk_size=BATCH,
                max_retries=3,
                initial_backoff=2,
                raise_on_error=False,
            ):
                if not ok:
                    _log.error("bulk index error: %s", result)
            if messages:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
