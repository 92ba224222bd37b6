"""`syncline purge`: old tombstones out of the index."""

from worker.adapters.elastic_admin import ElasticAdmin
from worker.adapters.elastic_client import build_client
from worker.adapters.elastic_tombstones import ElasticTombstones
from worker.control.explaining import explained
from worker.control.purge import Purged, purge
from worker.control.target import check_alias
from worker.runtime.clock import Clock
from worker.settings import Settings


async def purge_index(settings: Settings, *, size: int, dry_run: bool) -> Purged:
    """Remove tombstones that are older than the settings say.

    Raises:
        OperatorError: Elasticsearch cannot be reached, or refuses.
    """
    async with build_client(settings.elasticsearch) as client:
        await check_alias(ElasticAdmin(client), settings)
        tombstones = ElasticTombstones(client, settings.index.writer_alias)
        with explained(settings.elasticsearch):
            kept = settings.delivery.tombstone_retention
            return await purge(tombstones, kept, Clock().wall_ms(), size=size, dry_run=dry_run)
