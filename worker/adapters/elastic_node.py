"""One node of Elasticsearch, to which a redirect is a mistake in the settings."""

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urljoin, urlsplit

import aiohttp
from elastic_transport import AiohttpHttpNode
from typing_extensions import override

from worker.errors import OperatorError

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class _Session:
    """aiohttp's session as far as a node uses it, without following redirects.

    aiohttp makes a GET without a body of a POST that is answered with 301 or 302: a search by key would find every
    document. And it leaves out the credentials where the redirect leads elsewhere.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def request(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - aiohttp's own
        return self._session.request(method, url, allow_redirects=False, **options)

    async def close(self) -> None:
        await self._session.close()


class StraightNode(AiohttpHttpNode):
    """Sends to the address of the settings, and nowhere else."""

    @override
    def _create_aiohttp_session(self) -> None:
        super()._create_aiohttp_session()
        self.session = cast("aiohttp.ClientSession", _Session(cast("aiohttp.ClientSession", self.session)))

    @override
    async def perform_request(self, *request: Any, **options: Any) -> Any:  # type: ignore[override] # as its superclass
        """Send one request.

        Raises:
            OperatorError: the answer is a redirect.
        """
        answer = await super().perform_request(*request, **options)
        if answer.meta.status in _REDIRECTS:
            elsewhere = self._elsewhere(answer.meta.headers)
            raise OperatorError(
                f"elasticsearch.hosts: {self.base_url} redirects requests{elsewhere}: set it to the address of "
                "Elasticsearch itself, with http or https as there"
            )
        return answer

    def _elsewhere(self, headers: Mapping[str, str]) -> str:
        """Tell the server that is meant, without the rest of its address, which may be secret."""
        try:
            url = urlsplit(urljoin(self.base_url, headers.get("location", "")))
            port = "" if url.port is None else f":{url.port}"
        except ValueError:
            return ""
        return f" to {url.scheme}://{url.hostname}{port}"
