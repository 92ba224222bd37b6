"""Quix Streams with its Elasticsearch sink: the model is called in a step of the dataframe.

Runs in an environment of its own (requirements/quix.txt); settings from the environment. The sink has no deletes and no
routing: deletes are left out, and its document id is the Kafka key.
"""

import os
from typing import Any

from elasticsearch import Elasticsearch
from quixstreams import Application
from quixstreams.sinks.community.elasticsearch import ElasticsearchSink

from tests.benchmarks.baselines.model import load

FIELDS = ("tenant", "title", "content", "tags", "url", "published")


class Sink(ElasticsearchSink):  # type: ignore[misc]  # no types are published
    """Without the first question of the original, which a core distribution of Elasticsearch does not answer."""

    def setup(self) -> None:
        self._client = Elasticsearch(**self._client_kwargs)
        self._create_index()


def main() -> None:
    model = load(os.environ["MODEL"])

    def document(event: dict[str, Any]) -> dict[str, Any]:
        row = event["after"]
        embedding = model.encode(f"{row['title']} {row['content'] or ''}", show_progress_bar=False)
        return {**{name: row[name] for name in FIELDS if name in row}, "embedding": embedding.tolist()}

    app = Application(
        broker_address=os.environ["KAFKA"],
        consumer_group=os.environ["GROUP"],
        auto_offset_reset="earliest",
        # The default waits five seconds before the sink writes anything.
        commit_interval=1.0,
        commit_every=500,
    )
    for name in os.environ["TOPICS"].split(","):
        rows = app.dataframe(app.topic(name, key_deserializer="str", value_deserializer="json"))
        rows = rows.filter(lambda event: event is not None and event["op"] != "d").apply(document)
        rows.sink(Sink(os.environ["ELASTICSEARCH"], f"{os.environ['INDEX']}-{name.rpartition('.')[2]}"))
    app.run()


if __name__ == "__main__":
    main()
