"""What the worker tells about itself is what it has done."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e import kafka_log
from tests.e2e.process import until
from tests.e2e.scene import Table, scene
from tests.servers.start import Servers
from worker.demo.corpus import pick, read_corpus

pytestmark = pytest.mark.needs_jvm

TEXTS = 250


@pytest.mark.timeout(600)
def test_every_record_has_one_verdict_and_the_lag_ends_at_0(
    servers: Servers, real_model: Mapping[str, str], tmp_path: Path
) -> None:
    with scene(servers, tmp_path / "metrics", Table("articles"), model=real_model) as articles:
        texts = pick(read_corpus(), TEXTS)
        with articles.database.transaction():
            for text in texts:
                articles.insert(text.tenant, text.id, text.title, text.content, text.tags)
        articles.connect()
        articles.worker.launch()
        until(articles.worker.is_live, lambda: articles.worker.told("not live while it starts"))
        assert not articles.worker.is_ready()
        articles.worker.wait_ready()
        for text in texts[:10]:
            articles.execute("DELETE FROM {table} WHERE tenant = %s AND id = %s", text.tenant, text.id)
        for text in texts[10:30]:
            articles.execute("UPDATE {table} SET tags = NULL WHERE tenant = %s AND id = %s", text.tenant, text.id)
        articles.settle(240)
        assert articles.worker.is_live()
        assert articles.worker.is_ready()

        scrape = articles.worker.scrape()
        records = len(kafka_log.events(servers.kafka, articles.topics[0]))
        verdicts = scrape.by("syncline_records_total", "verdict")
        assert records == TEXTS + 10 + 10 + 20, "a delete is two records: itself and its tombstone"
        assert scrape.consumed == sum(verdicts.values()) == records
        assert verdicts["skipped"] == scrape.total("syncline_records_total", reason="tombstone") == 10
        assert verdicts["deleted"] == 10
        # A change that overtook its row in the intake hid the older one.
        assert verdicts["indexed"] + verdicts.get("superseded", 0) == TEXTS + 20
        assert verdicts["indexed"] >= TEXTS - 10
        assert scrape.total("syncline_lag_records") == 0
        assert scrape.total("syncline_in_flight_bytes") == 0
        assert scrape.total("syncline_oldest_unresolved_seconds") == 0
        written = verdicts["indexed"] + verdicts["deleted"]
        assert scrape.total("syncline_freshness_seconds_count") == written
        assert scrape.total("syncline_freshness_seconds_sum") > 0
        assert (
            scrape.total("syncline_embedded_texts_total") + scrape.total("syncline_reused_vectors_total") >= TEXTS - 10
        )
        delay = scrape.total("syncline_event_loop_delay_max_seconds")
        print(f"longest delay of the event loop while {TEXTS} texts were embedded: {delay * 1000:.0f} ms")  # noqa: T201
        # One such tick may be the machine's; a model that ran on the loop would make a dozen.
        name = "syncline_event_loop_delay_seconds"
        late = scrape.total(f"{name}_count") - scrape.total(f"{name}_bucket", le="0.5")
        assert delay > 0
        assert late <= 2
