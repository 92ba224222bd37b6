"""What a server and a credential are, asked with the least privileges; what may not be seen is None, not a fault."""

from collections.abc import Sequence
from typing import Final

from elasticsearch import ApiError, AsyncElasticsearch
from typing_extensions import override

from worker.adapters.elastic_client import translated
from worker.errors import Halt
from worker.ports import ServerInspector

_NOT_OFFERED: Final = frozenset({400, 404, 405, 410, 501})


class ElasticInspector(ServerInspector):
    """`ports.ServerInspector` on a client that somebody else closes."""

    def __init__(self, client: AsyncElasticsearch) -> None:
        self._client = client

    @override
    async def version(self) -> str | None:
        try:
            with translated():
                found = await self._client.info()
        except Halt:  # `GET /` needs the privilege `monitor`, which a worker has no other use for
            return None
        except ApiError as error:
            _refuse_unless_not_offered(error)
            return None
        return str(found["version"]["number"])

    @override
    async def granted(self, index: str, privileges: Sequence[str]) -> frozenset[str] | None:
        try:
            with translated():
                found = await self._client.security.has_privileges(
                    index=[{"names": [index], "privileges": list(privileges)}]
                )
        except ApiError as error:
            _refuse_unless_not_offered(error)
            return None
        return frozenset(name for name, granted in found["index"][index].items() if granted)


def _refuse_unless_not_offered(error: ApiError) -> None:
    """A server without security, or a distribution without the root page, has no such address."""
    if error.meta.status not in _NOT_OFFERED:
        raise error
