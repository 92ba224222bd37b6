"""What every long proof needs around it: real servers of its own, topics, and an end that leaves nothing behind."""

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, Never

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.e2e import kafka_log, programs
from tests.servers.addresses import Kind
from tests.servers.start import Servers, start

TINY: Final = "tiny"
WORDS: Final = ("boat", "chair", "coffee", "garden", "hose", "marathon", "mountain", "shelter", "shoe", "tent")


@contextmanager
def real_servers(folder: Path) -> Iterator[Servers]:
    """Servers of this run alone; stopped however it ends, a signal included. Their logs are left in `folder`."""
    data = Path(tempfile.mkdtemp(prefix="syncline-soak-"))
    data.chmod(0o755)  # some servers run on another account
    try:
        with tidy_end(), start(Kind.JVM, data_dir=data) as servers:
            yield servers
    finally:
        for log in data.glob("*/*.log"):
            shutil.copy(log, folder)
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def tidy_end() -> Iterator[None]:
    """Whoever is asked to end by SIGTERM in the block still stops what it has started."""
    former = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _end(_signal: int, _frame: FrameType | None) -> Never:
    # Once is enough: a second one would interrupt the stopping.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("asked to end")


def tiny_model() -> dict[str, str]:
    """Settings of a model that embeds in no time."""
    return {"model": TINY, "path": str(programs.tiny_model())}


def a_seed(given: int | None) -> int:
    return given if given is not None else random.SystemRandom().randrange(1, 1_000_000)


def report_folder(name: str, seed: int) -> Path:
    return programs.ROOT / "build" / "soak" / f"{name}-{seed}-{os.getpid()}"


def create_topic(bootstrap: str, name: str, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=dict(config or {}))])
        finally:
            await admin.close()

    asyncio.run(create())


def records_in(bootstrap: str, topic: str) -> int:
    """How many records a topic that loses none has."""
    return sum(kafka_log.ends(bootstrap, [topic]).values())
