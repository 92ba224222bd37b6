"""Right, not only fast: what each leaves of tenant moves, new keys, unchanged large texts and hidden former rows."""

import random
import time
from typing import Final
from uuid import uuid4

from tests.benchmarks import target
from tests.benchmarks.baselines.model import FIXED
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import CONTENDERS, OURS, Contender, Setting, Topic
from tests.benchmarks.results import Reach, Result
from tests.benchmarks.truth import KINDS, Comparison, Row, RowKey, compare
from tests.e2e.scene import Scene, scene
from tests.soak.surroundings import tiny_model
from tests.soak.tables import keyed_by_tenant, three_tables
from tests.soak.workload import Workload

FIELDS: Final = ("title", "content", "tags")
_QUIET_S: Final = 12
_LIMIT_S: Final = 1800


def correctness(bench: Bench) -> Result:
    """Real PostgreSQL and Debezium, three kinds of tables, random SQL; then everybody reads the same topics."""
    statements = bench.size(6000, 150)
    rows_of_table: list[list[str]] = []
    with scene(bench.place.servers, bench.folder / "scene", *three_tables(), model=tiny_model()) as built:
        workload = Workload(bench.place.servers.postgres.dsn, built.tables, random.Random(7).randrange(1000), None)
        workload.fill()
        built.connect(partitions=1)
        workload.run(lambda: workload.steps >= statements)
        built.flush(600)
        bench.say(f"  {workload.steps:,} statements are in Kafka: {dict(workload.statements)}")
        rows = truth(built)
        result = Result(
            "Right, not only fast",
            f"{statements:,} random SQL statements on three tables through real Debezium: one with REPLICA IDENTITY "
            "FULL, one with the tenant in its primary key, one without under the default identity; moves between "
            "tenants, new keys, texts that PostgreSQL keeps out of line, rows deleted and inserted again. Fixed "
            "vectors. Then everybody reads the same topics from their begin.",
            ("", "wrong documents", *KINDS, "documents", "rows", "seconds"),
        )
        wrong: dict[str, int] = {}
        for name in [OURS, *bench.baselines("stream", "loop", "quix")]:
            found, seconds = _read(bench, built, name, rows)
            wrong[name] = found.total
            kinds = [f"{found.wrong[kind]:,}" for kind in KINDS]
            rows_of_table.append(
                [name, f"{found.total:,}", *kinds, f"{found.documents:,}", f"{found.rows:,}", f"{seconds:.0f}"]
            )
            result.raw.append({"contender": name, "wrong": dict(found.wrong), "examples": dict(found.examples)})
            bench.say(f"  {name}: {found.total} wrong of {found.rows}")
    result.rows = rows_of_table
    result.reach = [Reach("wrong documents", wrong[OURS], 0, "", at_most=True)]
    result.notes.append(
        "Each document counts once. The baselines name documents by the Kafka key and route by tenant (`quix` cannot "
        "route, and its sink deletes nothing)."
    )
    return result


def truth(built: Scene) -> dict[RowKey, Row]:
    """What the tables hold, as documents must show it."""
    rows: dict[RowKey, Row] = {}
    for table in built.tables:
        for (tenant, id_), row in built.rows(table).items():
            key = (table.name, tenant, str(id_)) if keyed_by_tenant(table) else (table.name, str(id_))
            rows[key] = Row(tenant, {name: row[name] for name in FIELDS})
    return rows


def _read(bench: Bench, built: Scene, name: str, rows: dict[RowKey, Row]) -> tuple[Comparison, float]:
    """Let one read all topics until Elasticsearch has nothing more to do."""
    topics = [
        Topic(table.topic(built.name), table.name, keyed_by_tenant(table), table.full, (*FIELDS, "published"))
        for table in built.tables
    ]
    place = bench.place
    own = f"right-{uuid4().hex[:8]}-{name}"
    setting = Setting(own, place.servers.kafka, place.servers.elasticsearch, topics, FIXED, bench.folder)
    contender = CONTENDERS[name](setting)
    contender.prepare()
    contender.server.start()
    try:
        seconds = _until_quiet(contender)
        return compare(rows, contender.found(), routed=contender.routed), seconds
    finally:
        contender.server.stop()


def _until_quiet(contender: Contender) -> float:
    """Wait for the first write, and for the end of all; the seconds in between."""
    url = contender.setting.elasticsearch
    indices = ",".join(dict.fromkeys(contender.index_of(topic.table) for topic in contender.setting.topics))
    began = changed = 0.0
    done = 0
    deadline = time.monotonic() + _LIMIT_S
    while (now := time.monotonic()) < deadline:
        assert contender.server.running, f"{contender.name} has ended: {contender.server.log_tail()}"
        if (count := target.operations(url, indices)) != done:
            done, changed = count, now
            began = began or now
        if changed and now - changed > _QUIET_S:
            return changed - began
        time.sleep(0.1)
    raise AssertionError(f"{contender.name} has not come to an end: {contender.server.log_tail()}")
