"""A worker is asked to stop while it has more to do than it can finish."""

import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.checks import check_index
from tests.e2e.process import Scrape, until
from tests.e2e.scene import Scene, Table, scene
from tests.servers.start import Servers
from worker.demo.corpus import pick, read_corpus

pytestmark = pytest.mark.needs_jvm

TEXTS = 400
DRAIN_S = 4


def fill(articles: Scene) -> None:
    """Real texts: about 100 words each, a few of them long."""
    with articles.database.transaction():
        for text in pick(read_corpus(), TEXTS):
            articles.insert(text.tenant, text.id, text.title, text.content, text.tags)


def longest_call(scrape: Scrape) -> float:
    """What one call of the model may take on this machine now, in seconds: twice the mean."""
    name = "syncline_stage_duration_seconds"
    return 2 * scrape.total(f"{name}_sum", stage="embed") / scrape.total(f"{name}_count", stage="embed")


@pytest.mark.timeout(600)
def test_sigterm_under_load_ends_in_time_with_0_and_the_next_start_goes_on(
    servers: Servers, real_model: Mapping[str, str], tmp_path: Path
) -> None:
    delivery = {"drain_timeout": f"{DRAIN_S}s"}
    with scene(servers, tmp_path / "stop", Table("articles"), model=real_model, delivery=delivery) as articles:
        fill(articles)
        articles.connect()
        articles.worker.start()
        until(lambda: articles.worker.scrape().resolved > 50, "nothing is done", every_s=0.2)
        before = articles.worker.scrape()
        assert before.resolved < TEXTS, "the worker was to have work left"
        started = time.monotonic()
        articles.worker.signal(signal.SIGTERM)
        until(lambda: articles.worker.logged('"action": "stopped"'), "it does not stop", within_s=60)
        # The end of an interpreter with torch in it takes seconds more on a busy machine.
        took = time.monotonic() - started
        code = articles.worker.wait(within_s=60)
        call = longest_call(before)
        print(  # noqa: T201
            f"{before.resolved:.0f} of {TEXTS} done; ended after {took:.1f} s, a call of the model takes {call:.1f} s"
        )
        assert code == 0
        # A call of the model cannot be interrupted: the one in progress at the deadline is waited for.
        assert took < DRAIN_S + call + 3
        articles.worker.start()
        articles.settle(240)
        assert articles.worker.scrape().consumed < TEXTS, "what was done before the stop was not committed"
        check_index(articles)
