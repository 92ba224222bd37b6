"""A server that says of itself what a test wants."""

from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from worker.ports import ServerInspector
from worker.stages.index_state import Held


class FakeServerInspector(ServerInspector):
    """`privileges` None: security is off. `holds` and `clock` None: they are not shown.

    `fail_with` is what `held` and `clock_ms` raise, which search.
    """

    def __init__(
        self,
        version: str | None = "9.1.4",
        privileges: frozenset[str] | None = None,
        holds: Mapping[str, Held] | None = None,
        clock: Callable[[], int] | None = None,
        of_cluster: frozenset[str] = frozenset(),
    ) -> None:
        self._version = version
        self._privileges = privileges
        self._holds = holds or {}
        self._clock = clock
        self._of_cluster = of_cluster
        self.fail_with: Exception | None = None
        self.blocks: Sequence[str] | None = ()

    @override
    async def version(self) -> str | None:
        return self._version

    @override
    async def granted(self, index: str, privileges: Sequence[str]) -> frozenset[str] | None:
        return None if self._privileges is None else self._privileges & frozenset(privileges)

    @override
    async def granted_on_cluster(self, privileges: Sequence[str]) -> frozenset[str] | None:
        return None if self._privileges is None else self._of_cluster & frozenset(privileges)

    @override
    async def write_blocks(self) -> Sequence[str] | None:
        return self.blocks

    @override
    async def held(self, alias: str) -> Held | None:
        self._fail()
        return self._holds.get(alias)

    @override
    async def clock_ms(self, alias: str) -> int | None:
        self._fail()
        return None if self._clock is None else self._clock()

    def _fail(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with
