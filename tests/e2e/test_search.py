"""From a table to what `syncline search` finds. Runs with either major version of the Elasticsearch client."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import elasticsearch
import pytest

from tests.e2e import kafka_log, programs
from tests.e2e.checks import check_index, check_tombstone, cosine
from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm
MODES = ("words", "meaning", "hybrid")


def found(scene: Scene, words: str, tenant: str, mode: str = "words") -> list[str]:
    return [hit["id"] for hit in scene.search(words, tenant, mode)]


def found_in_every_mode(scene: Scene, words: str, tenants: tuple[str, ...]) -> dict[tuple[str, str], list[str]]:
    asked = [(tenant, mode) for tenant in tenants for mode in MODES]
    # Each loads the model; two at a time is what a small machine has processors for.
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(asked, pool.map(lambda one: found(scene, words, *one), asked), strict=True))


def test_rows_are_found_changed_and_gone_and_in_their_own_tenant_only(
    servers: Servers, real_model: Mapping[str, str], tmp_path: Path
) -> None:
    with scene(servers, tmp_path / "search", Table("articles"), model=real_model) as articles:
        # An 8.19 client would talk to a server of 9, too; the pairs that users have are the ones to test.
        assert articles.index.server_version().partition(".")[0] == str(elasticsearch.__version__[0])
        articles.insert("acme", 1, "Red running shoes", "Light shoes for the marathon.", tags=["sport"])
        articles.insert("acme", 2, "Garden hose", "Ten metres of green hose.")
        articles.insert("acme", 3, "Wooden chair", "Made of oak, for the kitchen.")
        articles.insert("globex", 1, "Espresso machine", "Brews strong coffee.")
        articles.connect()
        articles.worker.start()
        articles.settle()
        assert found(articles, "oak", "acme") == ["acme/articles/3"]
        assert found(articles, "hose", "acme") == ["acme/articles/2"]
        assert found(articles, "coffee", "globex") == ["globex/articles/1"]
        assert found(articles, "coffee", "acme") == []

        articles.insert("acme", 4, "Mountain tent", "A shelter for two on a hike.")
        articles.execute(
            "UPDATE {table} SET title = 'Sailing boat', content = 'A yacht with two masts.' "
            "WHERE tenant = 'acme' AND id = 3"
        )
        articles.execute("DELETE FROM {table} WHERE tenant = 'acme' AND id = 2")
        articles.settle()
        assert found(articles, "tent", "acme") == ["acme/articles/4"]
        assert found(articles, "oak", "acme") == []
        assert found(articles, "hose", "acme") == []
        answers = found_in_every_mode(articles, "yacht masts", ("acme", "globex"))
        assert answers["acme", "words"] == ["acme/articles/3"]
        assert answers["globex", "words"] == []
        for mode in ("meaning", "hybrid"):
            assert answers["acme", mode][0] == "acme/articles/3"
            assert set(answers["acme", mode]) == {"acme/articles/1", "acme/articles/3", "acme/articles/4"}
            assert answers["globex", mode] == ["globex/articles/1"]

        check_what_a_delete_leaves(articles)
        check_versions_and_vectors(articles, Path(real_model["path"]))
        check_index(articles)


def check_what_a_delete_leaves(articles: Scene) -> None:
    """Nothing behind the readers' alias; behind the worker's own a tombstone that keeps the version."""
    row = {"term": {"sync.key": f"{articles.table}/acme/2"}}
    assert articles.index.visible(row) == []
    assert articles.index.count(row) == 0
    assert articles.index.count() == 4
    (delete,) = [event for event in log(articles) if event.value is not None and event.value["op"] == "d"]
    assert delete.value is not None
    tombstone = articles.index.at("acme/articles/2")
    check_tombstone(tombstone)
    assert tombstone.routing == "acme"
    assert tombstone.version == delete.value["source"]["lsn"]


def check_versions_and_vectors(articles: Scene, model: Path) -> None:
    upserts = [event.value for event in log(articles) if event.value is not None and event.value["after"] is not None]
    latest = {(event["after"]["tenant"], event["after"]["id"]): event for event in upserts}
    documents = articles.index.visible()
    texts = []
    for document in documents:
        event = latest[document.routing, int(document.id.rpartition("/")[2])]
        assert document.version == document.body["sync"]["version"] == event["source"]["lsn"]
        texts.append(f"{event['after']['title']} {event['after']['content']}")
    for document, vector in zip(documents, programs.encoded(model, texts), strict=True):
        assert cosine(document.body["embedding"], vector) >= 0.999


def log(articles: Scene) -> list[kafka_log.Event]:
    return kafka_log.events(articles.servers.kafka, articles.topics[0])
