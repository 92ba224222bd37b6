"""Kafka, or the way to it, fails; topics and offsets are not what they were."""

import time

import pytest

from tests.e2e.process import until
from tests.faults.conftest import NewStage
from tests.faults.stage import Stage
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.needs_jvm


def before_kafka(stage: Stage) -> Proxy:
    assert stage.kafka is not None
    return stage.kafka


def test_slow_brokers_slow_it_down_and_nothing_else(new_stage: NewStage) -> None:
    stage = new_stage(through_proxy=True)
    before_kafka(stage).delay(0.15)
    stage.worker.start()
    for round_ in range(5):
        stage.send_rows(range(20), f"round {round_}")
    stage.quiesce()
    assert stage.total("syncline_rebalances_total") == 1


def test_brokers_out_of_reach_for_longer_than_the_session(new_stage: NewStage) -> None:
    stage = new_stage(through_proxy=True)
    stage.worker.start()
    stage.send_rows(range(10))
    stage.settle()
    before_kafka(stage).refuse()
    stage.send_rows(range(10), "meanwhile")
    until(lambda: not stage.worker.is_ready(), "ready without Kafka", 20)
    assert stage.worker.is_live(), "a restart would mend nothing"
    time.sleep(4)
    before_kafka(stage).heal()
    stage.quiesce()
    until(stage.worker.is_ready, lambda: stage.worker.told("it is not ready again"), 20)


@pytest.mark.timeout(180)
def test_half_open_connections_are_given_up_and_made_anew(new_stage: NewStage) -> None:
    """Nothing comes back and nobody says that the connection has ended, as behind a firewall that has forgotten it."""
    stage = new_stage(through_proxy=True)
    stage.worker.start()
    stage.send_rows(range(10))
    stage.settle()
    before_kafka(stage).swallow()
    started = time.monotonic()
    stage.send_rows(range(10), "meanwhile")
    stage.quiesce(120)
    print(f"half open connections were given up within {time.monotonic() - started:.0f} s")  # noqa: T201


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_brokers_away_for_five_minutes(new_stage: NewStage) -> None:
    """The whole cluster; then it goes on by itself, in the same process."""
    stage = new_stage()
    stage.worker.start()
    stage.send_rows(range(10))
    stage.settle()
    pid = stage.worker.pid
    kafka = stage.servers.process("kafka")
    kafka.kill()
    gone = time.monotonic()
    while time.monotonic() < gone + 300:
        assert stage.worker.is_live(), "a restart would mend nothing"
        time.sleep(5)
    assert not stage.worker.is_ready()
    kafka.start()
    back = time.monotonic()
    stage.send_rows(range(10), "afterwards")
    stage.quiesce(120)
    print(f"went on within {time.monotonic() - back:.0f} s")  # noqa: T201
    assert stage.worker.pid == pid
