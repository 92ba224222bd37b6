"""`syncline status`, the index: what is behind the aliases."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.control.check import refused
from worker.control.explaining import explained
from worker.control.status_cluster import cluster_status
from worker.control.target import block_findings, check_alias, cluster_block_findings
from worker.errors import OperatorError, RetryLater
from worker.ports import ClusterInspector, IndexAdmin, ServerInspector
from worker.settings import Settings
from worker.stages.cluster_view import ClusterView
from worker.stages.findings import Finding, counted, note, ok
from worker.stages.index_state import Held, IndexState


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The write index, the indices behind the reader alias, what the write alias holds and how the cluster is: as far
    as it is shown.
    """

    findings: tuple[Finding, ...]
    write_index: str | None = None
    reader_indices: tuple[str, ...] = ()
    tenant_aliases: int = 0
    held: Held | None = None
    cluster: ClusterView | None = None


async def index_status(
    admin: IndexAdmin, inspector: ServerInspector, watching: ClusterInspector, settings: Settings, now_ms: int
) -> IndexStatus:
    """Return what is behind the aliases, and how the servers are that hold it.

    Raises:
        OperatorError: Elasticsearch cannot be asked; caused by `RetryLater` where it is not there at all.
    """
    writer, reader = settings.index.writer_alias, settings.index.reader_alias
    cluster, around = await cluster_status(watching, settings, now_ms)
    with explained(settings.elasticsearch):
        around = [*cluster_block_findings(await inspector.write_blocks()), *around]
        indices = await admin.indices([writer, reader])
        try:
            write_index = await check_alias(admin, settings)
        except OperatorError as error:
            if isinstance(error.__cause__, RetryLater):
                raise
            return IndexStatus((refused("write alias", error), *around), cluster=cluster)
    held, documents = await _held(inspector, writer, settings)
    readers = sorted(name for name, state in indices.items() if reader in state.aliases)
    tenants = len({alias for state in indices.values() for alias in _tenant_aliases(reader, state)})
    findings = [
        ok("write alias", f"{writer} writes to {write_index}"),
        _reader_finding(reader, readers, tenants),
        documents,
        *block_findings(write_index, indices[write_index]),
        *around,
    ]
    return IndexStatus(tuple(findings), write_index, tuple(readers), tenants, held, cluster)


def _tenant_aliases(reader: str, state: IndexState) -> list[str]:
    return [alias for alias in state.aliases if alias.startswith(f"{reader}-tenant-")]


def _reader_finding(reader: str, indices: Sequence[str], tenants: int) -> Finding:
    if not indices:
        # Elasticsearch shows an alias only to those who have a privilege on it.
        return note("reader alias", f"{reader} is not there, or not shown to this credential")
    more = f", and {counted(tenants, 'alias', 'aliases')} of tenants" if tenants else ""
    return ok("reader alias", f"{reader} reads {', '.join(indices)}{more}")


async def _held(inspector: ServerInspector, alias: str, settings: Settings) -> tuple[Held | None, Finding]:
    """Return what an alias holds, and what is to be said of it; a count of some shards only is none."""
    try:
        with explained(settings.elasticsearch):
            held = await inspector.held(alias)
    except OperatorError as error:
        return None, refused("documents", error)
    if held is None:
        return None, note("documents", f"not shown to this credential, which lacks read on {alias}")
    counts = f"{counted(held.documents, 'document')}, {counted(held.tombstones, 'tombstone')}"
    return held, ok("documents", counts)
