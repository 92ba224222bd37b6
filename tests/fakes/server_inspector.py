"""A server that says of itself what a test wants."""

from collections.abc import Sequence

from typing_extensions import override

from worker.ports import ServerInspector


class FakeServerInspector(ServerInspector):
    """`privileges` None: security is off."""

    def __init__(self, version: str | None = "9.1.4", privileges: frozenset[str] | None = None) -> None:
        self._version = version
        self._privileges = privileges

    @override
    async def version(self) -> str | None:
        return self._version

    @override
    async def granted(self, index: str, privileges: Sequence[str]) -> frozenset[str] | None:
        return None if self._privileges is None else self._privileges & frozenset(privileges)
