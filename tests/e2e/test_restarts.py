"""Elasticsearch and Kafka go away and come back while the worker runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.checks import check_index
from tests.e2e.process import until
from tests.e2e.scene import ELASTICSEARCH, Scene, Table, scene
from tests.e2e.workload import TENANTS, Workload
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm


@pytest.fixture
def busy(servers: Servers, tiny_model: Mapping[str, str], tmp_path: Path) -> Iterator[Scene]:
    """A worker in the midst of random changes; after the test they end, and index and tables must agree."""
    tables = (Table("articles"), Table("notes", full=True))
    delivery = {"retry_max": "2s"}
    with scene(servers, tmp_path / "restarts", *tables, model=tiny_model, delivery=delivery) as built:
        for table in built.tables:
            built.insert(TENANTS[0], 1001 if table.full else 1, "first", table=table)
        built.connect()
        built.worker.start()
        pid = built.worker.pid
        with Workload(built, seed=1, a_second=40).running():
            until(lambda: built.worker.scrape().resolved > 100, "nothing is done")
            yield built
            done = built.worker.scrape().resolved
            until(lambda: built.worker.scrape().resolved > done + 100, lambda: built.worker.told("it does not go on"))
        built.settle(120)
        check_index(built)
        assert built.worker.pid == pid
        assert built.worker.running


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_elasticsearch_comes_back_and_the_worker_goes_on(busy: Scene, crash: bool) -> None:  # noqa: FBT001
    elasticsearch = busy.servers.process(ELASTICSEARCH)
    elasticsearch.kill() if crash else elasticsearch.stop()
    until(lambda: not busy.worker.is_ready(), "the worker says that it is ready without Elasticsearch")
    assert busy.worker.is_live(), "a restart of the worker would mend nothing"
    assert busy.worker.scrape().total("syncline_retries_total") > 0
    elasticsearch.start()
    until(busy.worker.is_ready, lambda: busy.worker.told("the worker is not ready again"))


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_kafka_comes_back_and_the_worker_goes_on(busy: Scene, crash: bool) -> None:  # noqa: FBT001
    kafka = busy.servers.process("kafka")
    kafka.kill() if crash else kafka.stop()
    assert busy.worker.is_live(), "a restart of the worker would mend nothing"
    kafka.start()
