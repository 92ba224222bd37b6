"""At the end: is the index exactly what the tables are, or what the newest events say?"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from tests.e2e import kafka_log
from tests.e2e.checks import check_document, check_tombstone
from tests.e2e.index import Document, Index, call
from tests.e2e.kafka_log import Event
from tests.e2e.scene import Scene, Table
from tests.soak import direct
from tests.soak.pages import every_document
from tests.soak.report import Report
from tests.soak.tables import keyed_by_tenant

_WHOLE: Final = {"exclude_vectors": False}


def compare(scene: Scene, report: Report) -> int:
    """Check ids, versions, fields and places of every document; how many records the tables' topics hold."""
    records = 0
    wanted: dict[str, tuple[Mapping[str, Any], int]] = {}
    for table in scene.tables:
        versions, count = newest_versions(scene, table)
        records += count
        for (tenant, id_), row in scene.rows(table).items():
            key = (tenant, id_) if keyed_by_tenant(table) else (id_,)
            wanted[f"{tenant}/{table.source_name}/{id_}"] = row, versions[key]
    rows, tombstones = 0, 0
    seen: set[str] = set()
    for found in every_document(scene.index.url, f"{scene.name}-v000001", _WHOLE, page=500):
        if found.id in seen:
            report.violation(f"{found.id} is there twice")
        seen.add(found.id)
        if found.body["sync"].get("deleted"):
            tombstones += 1
            _note(report, partial(check_tombstone, found))
            if found.id in wanted:
                report.violation(f"{found.id} is a tombstone, and the row is there")
        else:
            rows += 1
            _check_row(found, wanted, report)
    for missing in sorted(wanted.keys() - seen)[:20]:
        report.violation(f"{missing} is missing")
    visible = scene.index.count()
    if visible != len(wanted):
        report.violation(f"readers count {visible} documents of {len(wanted)} rows")
    report.figure("rows in the tables", len(wanted))
    report.figure("documents in the index, tombstones beside them", f"{rows:,}, {tombstones:,}")
    return records


def compare_newest(built: direct.Direct, newest: Mapping[int, direct.Event], report: Report) -> None:
    """Check that every row's newest event is there, and nothing else."""
    seen: set[int] = set()
    live = 0
    for found in every_document(built.index.url, f"{built.name}-v000001", ["title", "sync.version", "sync.deleted"]):
        id_ = int(found.id.rpartition("/")[2])
        wanted = newest.get(id_)
        title = None if found.body["sync"].get("deleted") else found.body["title"]
        if wanted is None or (found.id, found.version, title) != (wanted.document_id, wanted.revision, wanted.title):
            report.violation(f"{found.id} has version {found.version} and title {title!r}; its newest event: {wanted}")
        if id_ in seen:
            report.violation(f"{found.id} is there twice")
        seen.add(id_)
        live += title is not None
    for id_ in sorted(newest.keys() - seen)[:20]:
        report.violation(f"{direct.SOURCE}/{id_} is missing")
    report.figure("rows that the index holds, each once at its newest version", f"{len(seen):,}, {live:,} of them live")


def operations(index: Index) -> dict[str, int]:
    """What Elasticsearch counts itself, over all shards: operations done, refused ones included.

    Every write that is done takes a sequence number, from 0 on in each shard; one that is refused takes none.
    """
    name = f"{index.alias}-v000001"
    stats = call("GET", f"{index.url}/{name}/_stats?level=shards")
    counted: dict[str, int] = defaultdict(int)
    for shard in (shard for group in stats["indices"][name]["shards"].values() for shard in group):
        counted["max_seq_no"] += shard["seq_no"]["max_seq_no"]
        counted["shards"] += 1
        for one in ("index_total", "index_failed", "delete_total"):
            counted[one] += shard["indexing"][one]
    return dict(counted)


def newest_versions(scene: Scene, table: Table) -> tuple[dict[tuple[object, ...], int], int]:
    """The version of each key's newest event, and how many records the topic holds."""
    versions: dict[tuple[object, ...], int] = {}
    count = 0

    def visit(event: Event) -> None:
        nonlocal count
        count += 1
        if event.value is not None:
            key = (event.key["tenant"], event.key["id"]) if keyed_by_tenant(table) else (event.key["id"],)
            versions[key] = max(versions.get(key, 0), int(event.value["source"]["lsn"]))

    kafka_log.each_event(scene.servers.kafka, table.topic(scene.name), visit)
    return versions, count


def _check_row(found: Document, wanted: Mapping[str, tuple[Mapping[str, Any], int]], report: Report) -> None:
    if found.id not in wanted:
        report.violation(f"{found.id} is there, and no such row")
        return
    row, version = wanted[found.id]
    if found.version != version:
        report.violation(f"{found.id} has version {found.version}, its newest event {version}")
    if found.routing != row["tenant"]:
        report.violation(f"{found.id} is routed by {found.routing}")
    _note(report, partial(check_document, found, row, "the table's row differs"))


def _note(report: Report, check: Callable[[], None]) -> None:
    try:
        check()
    except AssertionError as error:
        report.violation(str(error)[:500])
