"""Is the incident over? What an operator would look at, and what only we can know: that nothing was lost."""

import json
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import yaml

from tests.e2e import kafka_log
from tests.e2e.index import call
from tests.e2e.process import until
from tests.repo.promql import DEPLOY
from tests.soak.pages import every_document
from tests.soak.report import Report
from tests.soak.rig import ALIAS, DEAD_LETTERS, GROUP, TOPIC, Rig
from tests.soak.steady import SteadyLoad
from tests.soak.surroundings import records_in

ALERTS_WITHIN_S: Final = 300
_LAG_WITHIN_S: Final = 120
_THIS_WEEK: Final = frozenset({"1d", "3d"})
"""Windows of alerts that go on after an incident: they tell of the budget that it has burnt."""


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    ok: bool
    told: str = ""


def while_loaded(rig: Rig) -> list[Finding]:
    """Look while changes still come: workers, halts, alerts."""
    _wait_for(lambda: not _alerts(rig), ALERTS_WITHIN_S)
    halts = {
        reason: count
        for scrape in rig.deployment.scrapes()
        for reason, count in scrape.by("syncline_halted", "reason").items()
        if count
    }
    alerts = _alerts(rig)
    return [
        Finding("all workers are there and ready", rig.deployment.ready),
        Finding("no worker is halted", not halts, ", ".join(halts)),
        Finding("no alert is active", not alerts, ", ".join(sorted(alerts))),
    ]


class Loaded(Protocol):
    """What was written where, and where it must be."""

    @property
    def kafka(self) -> str: ...
    @property
    def elasticsearch(self) -> str: ...
    @property
    def load(self) -> SteadyLoad: ...


def at_rest(rig: Loaded) -> list[Finding]:
    """Look when no more changes come: lag, and every row."""
    _wait_for(lambda: _lag(rig) == 0, _LAG_WITHIN_S)
    lag = _lag(rig)
    wrong = list(_wrong_rows(rig))
    letters = records_in(rig.kafka, DEAD_LETTERS)
    rows = f"{len(rig.load.newest)} rows, {letters} dead letters"
    return [
        Finding("everything in the topic is done", lag == 0, f"{lag} records wait" if lag else ""),
        Finding("every row is in the index as it was written last", not wrong, "; ".join([rows, *wrong[:5]])),
    ]


def tell(report: Report, findings: Iterable[Finding]) -> None:
    """Put what was found into a report; what is not as it should be is a violation."""
    for finding in findings:
        report.figure(finding.what, f"{'yes' if finding.ok else 'NO'} {finding.told}")
        if not finding.ok:
            report.violation(f"not so: {finding.what} ({finding.told})")


def left_behind(rig: Rig, settings_before: str) -> Iterator[str]:
    """Yield what the runbook advises against, and what is no longer as it was."""
    settings = rig.deployment.files.revision(rig.deployment.files.desired.revision).read_text()
    if yaml.safe_load(settings) != yaml.safe_load(settings_before):
        yield "the settings are not those of before the incident: see `rollout history`"
    body = call("GET", f"{rig.elasticsearch}/_cluster/settings?flat_settings=true")
    for name, value in {**body["persistent"], **body["transient"]}.items():
        yield f"the cluster's setting {name} is {value} now"
    if key := _key_in_use(rig):
        wanted = yaml.safe_load((DEPLOY / "elasticsearch" / "worker-key.json").read_text())["role_descriptors"]
        if not _same_privileges(key["role_descriptors"], wanted):
            yield f"the workers' key {key['name']} has other privileges than SECURITY.md gives it"
    else:
        yield "the workers log in with something else than an API key of SECURITY.md"


def _key_in_use(rig: Rig) -> dict[str, Any] | None:
    address = urlsplit(rig.elasticsearch)
    request = urllib.request.Request(f"http://{address.hostname}:{address.port}/_security/_authenticate")
    request.add_header("Authorization", f"ApiKey {rig.key_file.read_text().strip()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            found = json.load(response)
    except OSError:
        return None
    (key,) = rig.call("GET", f"/_security/api_key?id={found['api_key']['id']}")["api_keys"]
    return dict(key)


def _same_privileges(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def granted(roles: dict[str, Any]) -> set[tuple[str, ...]]:
        cluster = {("cluster", name) for role in roles.values() for name in role["cluster"]}
        indices = {
            (name, privilege)
            for role in roles.values()
            for entry in role["indices"]
            for name in entry["names"]
            for privilege in entry["privileges"]
        }
        return cluster | indices

    return granted(found) == granted(wanted)


def _alerts(rig: Rig) -> set[str]:
    return {
        alert["labels"]["alertname"]
        for alert in rig.prometheus.alerts()
        if alert["state"] == "firing" and alert["labels"].get("long_window") not in _THIS_WEEK
    }


def _lag(rig: Loaded) -> int:
    done = kafka_log.committed(rig.kafka, GROUP)
    ends = kafka_log.ends(rig.kafka, [TOPIC])
    return sum(max(0, end - done.get(partition, 0)) for partition, end in ends.items())


def _wrong_rows(rig: Loaded) -> Iterator[str]:
    """Yield a sentence for each row that is not as its newest change, and for each that nobody has written."""
    wanted = dict(rig.load.newest)
    for found in every_document(rig.elasticsearch, f"{ALIAS}-write", ["title", "sync.deleted"]):
        version, title = wanted.pop(found.id, (0, None))
        if found.version != version or found.body.get("title") != title:
            yield f"{found.id} has version {found.version} in the index, {version} in the topic"
    yield from (f"{missing} is missing" for missing, (_, title) in wanted.items() if title is not None)


def _wait_for(condition: Callable[[], bool], within_s: float) -> None:
    """What comes of it is told by the findings."""
    with suppress(AssertionError):
        until(condition, "it is not over", within_s, every_s=1)
