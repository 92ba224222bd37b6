"""A steady load in Debezium's form: rows that change all the time, and rows that are written once and never again.

The second kind shows whether a change was lost: no later one makes up for it.
"""

import asyncio
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from tests import builders
from tests.soak.direct import producer
from tests.soak.surroundings import WORDS

SOURCE: Final = "articles"
TENANTS: Final = ("acme", "globex", "initech")
COLUMNS: Final = ("title", "content", "published", "url", "byline")
_BUSY_ROWS: Final = 60
_SHARE_NEW: Final = 0.3
_SHARE_DELETED: Final = 0.02
_FIRST_DAY: Final = datetime(2025, 1, 1, tzinfo=UTC)


class SteadyLoad:
    """Writes to one topic while `run` does; `newest` is what must be left of each row: version, and title or None."""

    def __init__(self, bootstrap: str, topic: str, a_second: float, seed: int) -> None:
        self.newest: dict[str, tuple[int, str | None]] = {}
        self.written = 0
        self._bootstrap = bootstrap
        self._topic = topic
        self._pause = 1 / a_second
        self._chance = random.Random(seed)
        self._rows = 0

    def run(self, stopping: threading.Event) -> None:
        """Write until the event is set; everything written is acknowledged then."""
        asyncio.run(self._write(stopping))

    async def _write(self, stopping: threading.Event) -> None:
        async with producer(self._bootstrap) as sender:
            while not stopping.is_set():
                key, value = self._change()
                await sender.send_and_wait(self._topic, value, key=key)
                await asyncio.sleep(self._pause)

    def _change(self) -> tuple[bytes, bytes]:
        chance = self._chance
        self.written += 1
        is_new = self._rows < _BUSY_ROWS or chance.random() < _SHARE_NEW
        self._rows += is_new
        id_ = self._rows if is_new else chance.randrange(1, _BUSY_ROWS + 1)
        tenant = TENANTS[id_ % len(TENANTS)]
        gone = not is_new and chance.random() < _SHARE_DELETED
        version = int(time.time() * 1000) * 1000 + self.written % 1000
        title = None if gone else f"{' '.join(chance.choices(WORDS, k=3))} {self.written}"
        self.newest[f"{tenant}/{SOURCE}/{id_}"] = version, title
        row = None if title is None else self._row(id_, tenant, title)
        event = builders.event("d" if gone else "u", row, builders.row(id_, tenant) if gone else None, lsn=version)
        event["source"]["ts_ms"] = int(time.time() * 1000)
        return orjson.dumps({"tenant": tenant, "id": id_}), orjson.dumps(event)

    def _row(self, id_: int, tenant: str, title: str) -> dict[str, Any]:
        day = _FIRST_DAY + timedelta(days=id_ % 500)
        return builders.row(
            id_,
            tenant,
            title=title,
            content=" ".join(self._chance.choices(WORDS, k=20)),
            published=day.isoformat(),
            url=f"https://{tenant}.example/{id_}",
            byline=f"Mara Lind, {day:%A} {day.day} {day:%B}",
        )
