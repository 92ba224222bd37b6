"""Random SQL through Debezium into the index for as long as you like, a fault every 20 seconds.

    python -m tests.soak.soak --minutes 30

Real PostgreSQL, Debezium, Kafka and Elasticsearch, and two workers that are killed and started again. See
docs/reliability.md for what it proves; `build/soak/` keeps the report, the log and the logs of all processes.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.e2e.nursery import Nursery
from tests.e2e.scene import Scene, scene
from tests.servers.start import Servers
from tests.soak.comparison import compare
from tests.soak.faults import Faults
from tests.soak.fleet import Fleet
from tests.soak.reader import Reader, add_tenant_aliases
from tests.soak.report import Report
from tests.soak.surroundings import a_seed, create_topic, real_servers, records_in, report_folder, tiny_model
from tests.soak.tables import TENANTS, three_tables
from tests.soak.workload import Workload

WORKERS: Final = 2
DEAD_LETTERS: Final = "soak.dead-letters"
KAFKA: Final = {"dead_letter_topic": DEAD_LETTERS, "rebalance_timeout": "15s", "metadata_max_age": "5s"}
ELASTICSEARCH: Final = {"request_timeout": "5s"}
DELIVERY: Final = {"drain_timeout": "8s", "retry_max": "2s", "halt_probe_interval": "2s"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rate", type=float, default=40, help="statements a second")
    parser.add_argument("--fault-every", type=float, default=20, help="seconds")
    parser.add_argument("--settle-within", type=float, default=600, help="seconds to come to rest at the end")
    given = parser.parse_args()
    seed = a_seed(given.seed)
    report = Report(f"Soak of {given.minutes:g} minutes, seed {seed}", report_folder("soak", seed))
    report.log(f"seed {seed}; the report will be in {report.folder}")
    with report.closing(), real_servers(report.folder) as servers:
        create_topic(servers.kafka, DEAD_LETTERS)
        with scene(
            servers,
            report.folder,
            *three_tables(),
            model=tiny_model(),
            kafka=KAFKA,
            elasticsearch=ELASTICSEARCH,
            delivery=DELIVERY,
        ) as built:
            soak(built, servers, report, seed, given)
    return report.exit_code


def soak(built: Scene, servers: Servers, report: Report, seed: int, given: argparse.Namespace) -> None:
    """Start everything, let it run, stop changing, and compare."""
    workload = Workload(servers.postgres.dsn, built.tables, seed, given.rate)
    workload.fill()
    built.connect()
    add_tenant_aliases(built.index.url, built.index.alias, TENANTS)
    report.log("tables, connector and index are there")
    with ExitStack() as closing:
        nursery = Nursery(report.folder / "nursery.log")
        closing.callback(nursery.close)
        fleet = Fleet(built.config, WORKERS, nursery, report, servers.kafka, built.topics)
        closing.callback(fleet.kill_all)
        for number in range(WORKERS):
            fleet.start(number)
        fleet.settle(given.settle_within)
        reader = Reader(built.index.url, built.index.alias, TENANTS, report, seed)
        faults = Faults(built, fleet, workload, report, seed)
        with fleet.watched(), reader.running():
            with workload.running():
                report.log("workers are ready; rows change from now on")
                faults.run(60 * given.minutes, given.fault_every)
            report.log("no more changes, no more faults")
            built.flush(given.settle_within)
            fleet.settle(given.settle_within)
        report.log("at rest: comparing")
        records = compare(built, report)
        tell(workload, report)
        faults.figures()
        reader.figures()
        fleet.account(records)
    if rejected := records_in(servers.kafka, DEAD_LETTERS):
        report.violation(f"{rejected} records were rejected; the workers' logs tell why")
    report.log(f"logs are in {Path(report.folder)}")


def tell(workload: Workload, report: Report) -> None:
    """How the tables were changed."""
    changed = sum(workload.statements.values())
    kinds = ", ".join(f"{kind} {count / max(1, changed):.0%}" for kind, count in workload.statements.most_common())
    report.figure("statements that changed a row", f"{changed:,} of {workload.steps:,} ({kinds})")
    report.figure(
        "transactions",
        f"{workload.transactions:,} committed, {workload.rolled_back:,} rolled back; "
        f"{workload.interleaved:,} statements while another one was open",
    )


if __name__ == "__main__":
    sys.exit(main())
