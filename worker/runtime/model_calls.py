"""Calls of the model: a text that it fails on is told from a model, or a server, that fails.

A batch holds texts of many rows, and one of them must not hold up the others, let alone halt the worker. What tells
them apart is a plain text: who embeds that, and not the batch, fails on the batch.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.errors import Halt, HaltReason, RejectReason, RetryLater, RetryReason
from worker.metrics import Metrics
from worker.ports import Embedder
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.permits import Permits
from worker.runtime.vector_cache import Vector

_PLAIN_TEXT: Final = "a plain text"
_TRIES: Final = 8
"""So often a batch is sent before it is doubted, or the server: with the waits in between some 20 seconds."""
_PROOFS_IN_A_ROW: Final = 3
_PROOFS_IN_ALL: Final = 8
"""So often a single text fails, each time right after a plain text that did not, before it is what is wrong. More often
where the plain text fails in between: the server starts again, which the text has killed, or it fails now and then.
"""
_OVERLOADED: Final = frozenset({RetryReason.REJECTED, RetryReason.TIMEOUT})
_NOBODYS_FAULT: Final = frozenset({RetryReason.REJECTED, RetryReason.NEW_CREDENTIALS})

Result = Vector | Rejection


class ModelCalls:
    """Calls the model; one behind HTTP as often at a time as it bears."""

    def __init__(self, embedder: Embedder, metrics: Metrics, clock: Clock) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._clock = clock
        self._permits = Permits(embedder.concurrency, metrics.embed_limit)

    async def call(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Call the model when there is room for one more call, and note what its answer tells of the pressure."""
        async with self._permits.one():
            pressure = self._permits.pressure
            began_in, started = pressure.round, self._clock.monotonic()
            try:
                vectors = await self._embedder.embed(texts)
            except RetryLater as fault:
                if fault.reason in _OVERLOADED:
                    pressure.overloaded(began_in)
                raise
            finally:
                self._metrics.stage.labels("embed").observe(self._clock.monotonic() - started)
            # How long a call takes is a matter of its tokens, which nobody has counted yet.
            pressure.accepted(began_in)
            return vectors


class Batch:
    """Some texts on their way to their vectors. Called again after a fault, it goes on where it was.

    One that fails on and on while the server works is halved, down to the texts that it fails on: few calls, where a
    text a call would be many.
    """

    def __init__(self, calls: ModelCalls, texts: Sequence[str], failures: int = 0) -> None:
        self._calls = calls
        self._texts = texts
        self._failures = failures
        self._proofs = self._proofs_in_a_row = 0
        self._halves: tuple[Batch, Batch] | None = None
        self._results: list[Result] | None = None

    async def __call__(self) -> list[Result]:
        """Return a vector for every text, or why the model has none for it.

        Raises:
            RetryLater: a fault that may pass, of these texts or of the server.
            Halt: a plain text fails as well.
        """
        if self._results is None:
            self._results = await self._tried()
        return self._results

    async def _tried(self) -> list[Result]:
        if self._halves is None:
            try:
                return await self._whole()
            except _OnTheseTextsError as fault:
                if len(self._texts) == 1:
                    return [Rejection(RejectReason.EMBEDDING_FAILED, str(fault))]
                middle = len(self._texts) // 2
                self._halves = self._part(self._texts[:middle]), self._part(self._texts[middle:])
        return [result for half in self._halves for result in await half()]

    def _part(self, texts: Sequence[str]) -> "Batch":
        # Who has cost many tries need not be tried as often again in parts.
        return Batch(self._calls, texts, self._failures)

    async def _whole(self) -> list[Result]:
        is_doubted = self._failures >= _TRIES
        if is_doubted:
            await self._plain_text()
        try:
            return list(await self._calls.call(self._texts))
        except Halt as fault:
            if fault.reason is not HaltReason.EMBEDDER_FAILED:
                raise
            if not is_doubted and len(self._texts) == 1:
                # Once more, behind a plain text: in between the model may be mended. Several are tried again in parts.
                self._failures = _TRIES
                return await self._whole()
            if not is_doubted:
                await self._plain_text()
            raise _OnTheseTextsError(str(fault)) from fault
        except RetryLater as fault:
            if fault.reason in _NOBODYS_FAULT:
                raise
            if is_doubted and self._is_proven():
                raise _OnTheseTextsError(str(fault)) from fault
            self._failures += 1
            raise

    def _is_proven(self) -> bool:
        """Count a failure right after a plain text; whether that is enough. To halve a batch costs no row anything."""
        self._proofs += 1
        self._proofs_in_a_row += 1
        return len(self._texts) > 1 or self._proofs_in_a_row >= _PROOFS_IN_A_ROW or self._proofs >= _PROOFS_IN_ALL

    async def _plain_text(self) -> None:
        """Embed a plain text; where that fails, these texts are not what is wrong."""
        try:
            await self._calls.call([_PLAIN_TEXT])
        except RetryLater as fault:
            if fault.reason in _NOBODYS_FAULT:
                raise
            self._proofs_in_a_row = 0
            raise Halt(HaltReason.EMBEDDER_UNAVAILABLE, str(fault)) from fault


class _OnTheseTextsError(Exception):
    """The batch fails, and a plain text does not."""
