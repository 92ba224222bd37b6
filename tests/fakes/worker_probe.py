"""Workers that say what a test wants."""

from collections.abc import Mapping

from typing_extensions import override

from worker.ports import WorkerProbe
from worker.stages.worker_answer import WorkerAnswer


class FakeWorkerProbe(WorkerProbe):
    """Answers by URL; nothing answers anywhere else."""

    def __init__(self, answers: Mapping[str, WorkerAnswer]) -> None:
        self._answers = answers

    @override
    async def ask(self, url: str) -> WorkerAnswer | None:
        return self._answers.get(url)
