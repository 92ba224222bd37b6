"""The whole log again, twice: not one write, not one embedding, and no reader sees anything that was gone.

    python -m tests.soak.replay --events 20000

Random SQL over three tables goes through Debezium and is indexed once. Then two further consumer groups read the same
topics from their begin, while a reader polls every tenant: each sample must show exactly the rows that the tables have.
Whether there was a write, Elasticsearch itself is asked: its sequence numbers and indexing counters must not move.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import yaml

from tests.e2e.process import until
from tests.e2e.scene import Scene, scene
from tests.soak.comparison import compare, operations
from tests.soak.fleet import Fleet
from tests.soak.pages import every_document
from tests.soak.reader import Reader, add_tenant_aliases
from tests.soak.report import Report
from tests.soak.soak import tell
from tests.soak.surroundings import a_seed, real_servers, report_folder, tiny_model
from tests.soak.tables import TENANTS, three_tables
from tests.soak.workload import Workload


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="SQL statements")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--limit", type=float, default=60, help="minutes for one pass, after which it has failed")
    given = parser.parse_args()
    seed = a_seed(given.seed)
    report = Report(f"Replay of {given.events:,} statements, seed {seed}", report_folder("replay", seed))
    report.log(f"seed {seed}; the report will be in {report.folder}")
    with (
        report.closing(),
        real_servers(report.folder) as servers,
        scene(servers, report.folder, *three_tables(), model=tiny_model()) as built,
    ):
        workload = Workload(servers.postgres.dsn, built.tables, seed, None)
        workload.fill()
        built.connect()
        workload.run(lambda: workload.steps >= given.events)
        built.flush(600)
        report.log("all changes are in Kafka")
        tell(workload, report)
        replay(built, report, seed, 60 * given.limit)
    return report.exit_code


@dataclass(frozen=True, slots=True)
class Pass:
    """One reading of the whole log by one worker."""

    records: int
    seconds: float
    texts: int
    reused: int
    bulk_items: int
    verdicts: str

    @property
    def a_second(self) -> float:
        return self.records / self.seconds


def replay(built: Scene, report: Report, seed: int, limit_s: float) -> None:
    """The first pass, what it left behind, and the same log twice more."""
    add_tenant_aliases(built.index.url, built.index.alias, TENANTS)
    first = one_pass(built, report, "first", limit_s)
    records = compare(built, report)
    if first.records != records:
        report.violation(f"the first pass counts {first.records} records, the log has {records}")
    before, versions = operations(built.index), stored(built)
    report.log(f"Elasticsearch's counters: {before}")
    reader = Reader(built.index.url, built.index.alias, TENANTS, report, seed, only=picture(built))
    with reader.running(0.2):
        again = [one_pass(built, report, f"replay {number}", limit_s) for number in (1, 2)]
    reader.sample()
    for number, each in enumerate(again, start=1):
        if each.texts or each.reused or each.bulk_items:
            report.violation(
                f"replay {number}: {each.texts} texts embedded, {each.reused} vectors reused, "
                f"{each.bulk_items} writes sent"
            )
        if each.records != records:
            report.violation(f"replay {number} counts {each.records} records, the log has {records}")
    if (after := operations(built.index)) != before:
        report.violation(f"Elasticsearch's counters moved from {before} to {after}")
    for written in sorted(stored(built).items() ^ versions.items())[:20]:
        report.violation(f"before or after, but not both: {written}")
    report.figure("Elasticsearch's sequence numbers and counters, before and after", f"{before}, {after}")
    reader.figures()


def one_pass(built: Scene, report: Report, name: str, limit_s: float) -> Pass:
    """Read the log from its begin with a group of its own, until everything is committed."""
    folder = report.folder / name.replace(" ", "-")
    folder.mkdir()
    settings: dict[str, Any] = yaml.safe_load(built.config.read_text())
    settings["kafka"]["group_id"] += f"-{folder.name}"
    config = folder / "syncline.yaml"
    config.write_text(yaml.safe_dump(settings))
    fleet = Fleet(config, 1, None, report, built.servers.kafka, built.topics, folder)
    with ExitStack() as closing:
        closing.callback(fleet.kill_all)
        worker = fleet.workers[0]
        expected = sum(fleet.ends().values())
        fleet.start(0, wait=False)
        until(lambda: worker.is_ready() and worker.scrape().consumed > 0, lambda: worker.told("nothing comes"), 180)
        begin, at_begin = time.monotonic(), worker.scrape().resolved
        until(
            lambda: worker.scrape().resolved >= expected,
            lambda: worker.told(f"{worker.scrape().resolved:.0f} of {expected} records"),
            limit_s,
            every_s=0.2,
        )
        seconds = time.monotonic() - begin
        fleet.settle(60)
        scrape = worker.scrape()
        verdicts = scrape.by("syncline_records_total", "verdict")
        done = Pass(
            int(scrape.resolved),
            seconds,
            int(scrape.total("syncline_embedded_texts_total")),
            int(scrape.total("syncline_reused_vectors_total")),
            int(scrape.total("syncline_bulk_items_total")),
            ", ".join(f"{verdict} {count:,.0f}" for verdict, count in sorted(verdicts.items()) if count),
        )
        report.log(f"{name}: {done}")
        report.figure(
            f"{name} pass",
            f"{(done.records - at_begin) / seconds:,.0f} events a second; {done.records:,} records "
            f"({done.verdicts}), {done.texts:,} texts embedded, {done.bulk_items:,} writes sent",
        )
    return done


def stored(built: Scene) -> dict[str, tuple[int, bool]]:
    """Version of everything that is stored, and whether it is a tombstone, by document id."""
    wanted = ["sync.version", "sync.deleted"]
    found = every_document(built.index.url, f"{built.name}-v000001", wanted)
    return {one.id: (one.version, "deleted" in one.body["sync"]) for one in found}


def picture(built: Scene) -> dict[str, dict[str, int]]:
    """What each tenant must see: revision by document id, from the tables."""
    rows: dict[str, dict[str, int]] = {tenant: {} for tenant in TENANTS}
    for table in built.tables:
        for (tenant, id_), row in built.rows(table).items():
            rows[tenant][f"{tenant}/{table.source_name}/{id_}"] = int(row["tags"][1])
    return rows


if __name__ == "__main__":
    sys.exit(main())
