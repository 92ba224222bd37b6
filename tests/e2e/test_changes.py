"""What PostgreSQL can do to a row, seen in the index: keys and tenants change, transactions do several things at once,
large values stay out of the event.
"""

import random
import string
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e import kafka_log
from tests.e2e.checks import UNAVAILABLE, check_index, check_tombstone
from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers

pytestmark = pytest.mark.needs_jvm


@pytest.fixture(scope="module")
def working(
    servers: Servers, tiny_model: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Both kinds of tables with a worker at work; each test has tenants of its own."""
    tables = (Table("articles"), Table("notes", full=True))
    with scene(servers, tmp_path_factory.mktemp("changes"), *tables, model=tiny_model) as built:
        for table in built.tables:
            # A topic exists from its first record on, and the worker refuses to start without one.
            built.insert("nobody", 1 if table.full else 2, "first", table=table)
        built.connect()
        built.worker.start()
        yield built


@pytest.fixture
def articles(working: Scene) -> Iterator[Scene]:
    """Whatever a test does and has settled, index and tables agree after it."""
    yield working
    check_index(working)


def text(length: int) -> str:
    """Text that PostgreSQL cannot compress, so that it is stored out of line."""
    return "".join(random.Random(length).choices(string.ascii_letters + string.digits, k=length))


def events(articles: Scene, table: int = 0) -> list[dict[str, object]]:
    log = kafka_log.events(articles.servers.kafka, articles.topics[table])
    return [dict(event.value) for event in log if event.value is not None]


def live(articles: Scene, tenant: str) -> dict[str, str]:
    return {found.id: found.body["title"] for found in articles.index.visible({"term": {"tenant": tenant}})}


def test_a_row_whose_id_changes_is_found_under_the_new_one_only(articles: Scene) -> None:
    articles.insert("renumbered", 1, "A row")
    articles.settle()
    articles.execute("UPDATE {table} SET id = 7 WHERE tenant = 'renumbered'")
    articles.settle()
    assert live(articles, "renumbered") == {"renumbered/articles/7": "A row"}
    check_tombstone(articles.index.at("renumbered/articles/1"))
    assert articles.index.at("renumbered/articles/1").version == articles.index.at("renumbered/articles/7").version


def test_a_row_whose_key_moves_to_another_tenant_leaves_no_copy_behind(articles: Scene) -> None:
    articles.insert("left", 1, "A row that moves")
    articles.settle()
    articles.execute("UPDATE {table} SET tenant = 'joined' WHERE tenant = 'left'")
    articles.settle()
    assert live(articles, "left") == {}
    assert live(articles, "joined") == {"joined/articles/1": "A row that moves"}
    tombstone = articles.index.at("left/articles/1")
    check_tombstone(tombstone)
    assert tombstone.routing == "left"


def test_a_row_deleted_and_inserted_again_in_one_transaction_is_there(articles: Scene) -> None:
    articles.insert("again", 1, "Before")
    articles.settle()
    with articles.database.transaction():
        articles.execute("DELETE FROM {table} WHERE tenant = 'again'")
        articles.insert("again", 1, "After")
    articles.settle()
    assert live(articles, "again") == {"again/articles/1": "After"}


def test_of_several_updates_in_one_transaction_the_last_one_counts(articles: Scene) -> None:
    with articles.database.transaction():
        articles.insert("often", 1, "Version 0")
        for number in range(1, 6):
            articles.execute("UPDATE {table} SET title = %s WHERE tenant = 'often'", f"Version {number}")
    articles.settle()
    assert live(articles, "often") == {"often/articles/1": "Version 5"}


def test_a_large_value_that_an_update_did_not_touch_survives_it(articles: Scene) -> None:
    content = text(20_000)
    articles.insert("large", 1, "Before", content)
    articles.settle()
    before = articles.index.at("large/articles/1")
    articles.execute("UPDATE {table} SET title = 'After' WHERE tenant = 'large'")
    articles.settle()
    left_out = [event for event in events(articles) if UNAVAILABLE in str(event["after"])]
    assert len(left_out) == 1, "the event was to come without the large value"
    after = articles.index.at("large/articles/1")
    assert after.version > before.version
    assert after.body["title"] == "After"
    assert after.body["content"] == content
    assert articles.index.count({"match": {"content": UNAVAILABLE}}) == 0


def test_an_update_of_the_tenant_column_alone_leaves_no_copy_behind(articles: Scene) -> None:
    notes = articles.tables[1]
    articles.insert("was", 10, "A note that moves", table=notes)
    articles.settle()
    articles.execute("UPDATE {table} SET tenant = 'is' WHERE id = 10", table=notes)
    articles.settle()
    assert live(articles, "was") == {}
    assert live(articles, "is") == {"is/notes/10": "A note that moves"}
    tombstone = articles.index.at("was/notes/10")
    check_tombstone(tombstone)
    assert (tombstone.routing, tombstone.version) == ("was", articles.index.at("is/notes/10").version)


def test_a_row_that_moves_there_and_back_is_where_it_was(articles: Scene) -> None:
    notes = articles.tables[1]
    articles.insert("home", 11, "A note that travels", table=notes)
    articles.execute("UPDATE {table} SET tenant = 'away' WHERE id = 11", table=notes)
    articles.settle()
    articles.execute("UPDATE {table} SET tenant = 'home' WHERE id = 11", table=notes)
    articles.settle()
    assert live(articles, "away") == {}
    assert live(articles, "home") == {"home/notes/11": "A note that travels"}


def test_a_delete_finds_the_tenant_that_is_in_no_key(articles: Scene) -> None:
    notes = articles.tables[1]
    articles.insert("owner", 12, "A note that goes", table=notes)
    articles.insert("owner", 13, "A note that stays", table=notes)
    articles.settle()
    articles.execute("DELETE FROM {table} WHERE id = 12", table=notes)
    articles.settle()
    assert live(articles, "owner") == {"owner/notes/13": "A note that stays"}
    tombstone = articles.index.at("owner/notes/12")
    check_tombstone(tombstone)
    assert tombstone.routing == "owner"
