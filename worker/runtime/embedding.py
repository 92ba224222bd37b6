"""Texts to vectors: each text once, and none whose vector is known."""

from collections.abc import Awaitable, Callable, Sequence

from worker.metrics import Metrics
from worker.ports import Embedder
from worker.records import Rejection
from worker.runtime.clock import Clock
from worker.runtime.model_calls import Batch, ModelCalls, Result
from worker.runtime.vector_cache import Vector, VectorCache


class Embedding:
    """Calls the model, a batch at a time, for texts that have no vector yet."""

    def __init__(self, embedder: Embedder, metrics: Metrics, clock: Clock, cache: VectorCache | None = None) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._calls = ModelCalls(embedder, metrics, clock)
        self._cache = cache or VectorCache(0)

    async def vectors(self, texts: Sequence[str]) -> list[Result]:
        """Return a vector for every text, or why the model has none for it. Vectors may be shared.

        Raises:
            RetryLater: a fault that may pass, of these texts or of the server.
            Halt: the model fails on a plain text as well.
        """
        return await self.request(texts)()

    def request(self, texts: Sequence[str]) -> Callable[[], Awaitable[list[Result]]]:
        """Return what `vectors` does, to be called until it returns: after a fault it goes on where it was."""
        known = self._known(texts)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        # Past the cache, which would answer for a model that is broken by now. A call each: what a call has brought is
        # kept when the next one fails, or a server that allows few of them in a row would never be done.
        most = self._embedder.most_texts
        batches = [Batch(self._calls, new[begin : begin + most]) for begin in range(0, len(new), most)]

        async def vectors() -> list[Result]:
            made = dict(zip(new, [result for batch in batches for result in await batch()], strict=True))
            self._keep(made)
            self._count(texts, made)
            return [known[text] if text in known else made[text] for text in texts]

        return vectors

    def _known(self, texts: Sequence[str]) -> dict[str, Vector]:
        if self._cache.is_off:
            return {}
        model = self._embedder.model
        return {text: vector for text in texts if (vector := self._cache.get(model, text)) is not None}

    def _keep(self, made: dict[str, Result]) -> None:
        if self._cache.is_off:
            return
        for text, vector in made.items():
            if not isinstance(vector, Rejection):
                self._cache.put(self._embedder.model, text, vector)
        self._metrics.cache_bytes.set(self._cache.size)

    def _count(self, texts: Sequence[str], made: dict[str, Result]) -> None:
        """Only now, when all went well: a call that halts is made again."""
        self._metrics.texts.inc(len(made))
        if not self._cache.is_off:
            self._metrics.cache_misses.inc(len(made))
        from_cache = sum(text not in made for text in texts)
        self._metrics.reused.labels("cache").inc(from_cache)
        self._metrics.reused.labels("same_call").inc(len(texts) - from_cache - len(made))
