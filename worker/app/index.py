"""Commands on the index: create it, search it."""

import contextlib

from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_search import ElasticSearcher
from worker.app.model import build_embedder, refuse_missing_model, refuse_unreachable_model
from worker.control.apply import Report, apply
from worker.control.explaining import explained
from worker.control.search import refuse_odd_question, search
from worker.ports import Embedder
from worker.settings import Settings
from worker.stages.search import Hit, Mode


async def apply_index(settings: Settings, *, dry_run: bool) -> Report:
    """Create what is missing of the index and its aliases.

    Raises:
        OperatorError: Elasticsearch cannot be reached or refuses.
    """
    async with build_client(settings.elasticsearch) as client:
        with explained(settings.elasticsearch):
            return await apply(ElasticAdmin(client), settings.index, dry_run=dry_run, sources=settings.sources)


async def search_index(
    settings: Settings, words: str, tenant: str, mode: Mode, size: int, embedder: Embedder | None = None
) -> list[Hit]:
    """Search inside one tenant; an embedder that is given must be started, else the settings' model is loaded.

    Raises:
        OperatorError: Elasticsearch or the model cannot be reached, or the question is empty.
    """
    refuse_odd_question(words, tenant, size)
    if mode is not Mode.WORDS:
        refuse_missing_model(settings.embedding)
    async with contextlib.AsyncExitStack() as closing:
        client = build_client(settings.elasticsearch)
        closing.push_async_callback(client.close)
        if embedder is None and mode is not Mode.WORDS:
            # A model takes seconds to load, or to be fetched: a server that is not there is told before.
            with explained(settings.elasticsearch):
                await ElasticAdmin(client).indices([settings.index.reader_alias])
            await refuse_unreachable_model(settings.embedding)
            embedder = build_embedder(settings.embedding)
            closing.push_async_callback(embedder.close)
            await embedder.start()
        with explained(settings.elasticsearch):
            searcher = ElasticSearcher(client, settings.index.reader_alias)
            return await search(searcher, embedder, words, tenant, mode, size)
