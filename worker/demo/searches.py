"""The demo's searches: the same words for two tenants, by words and by meaning."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console

from worker.app.index import search_index
from worker.control.search import show
from worker.demo.corpus import Document
from worker.ports import Embedder
from worker.settings import Settings
from worker.stages.search import Mode

_PREFERRED: Final = ("asyncio", "zipfile", "email", "logging", "pathlib", "http", "unittest", "argparse")
_QUESTIONS: Final = ((Mode.WORDS, "open file"), (Mode.MEANING, "wait until something has finished"))
_SHOWN: Final = 2


async def show_searches(
    console: Console, settings: Settings, embedder: Embedder, documents: Iterable[Document]
) -> None:
    """Print what two tenants find for the same words."""
    for mode, words in _QUESTIONS:
        for tenant in two_tenants([document.tenant for document in documents]):
            console.print(f'\n  [bold]syncline search "{words}" --tenant {tenant} --mode {mode}[/bold]')
            show(console, await search_index(settings, words, tenant, mode, _SHOWN, embedder), tenant)


def two_tenants(tenants: Sequence[str]) -> list[str]:
    """Return two tenants with many documents: well-known ones where they are there."""
    counts = {tenant: tenants.count(tenant) for tenant in set(tenants)}
    known = [tenant for tenant in _PREFERRED if tenant in counts]
    others = sorted(counts.keys() - set(known), key=lambda tenant: (-counts[tenant], tenant))
    return [*known, *others][:2]
