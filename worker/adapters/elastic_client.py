"""Building the one Elasticsearch client, and turning its exceptions into this project's families.

The client's own retries are off: it re-sends whole requests back to back without waiting, and only the runtime knows
which items of a bulk are worth sending again.
"""

import asyncio
import contextlib
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from elastic_transport import ApiResponse, ConnectionTimeout, SerializationError, TlsError, TransportError
from elastic_transport import ConnectionError as ClientConnectionError
from elasticsearch import (
    ApiError,
    AsyncElasticsearch,
    AuthenticationException,
    AuthorizationException,
    OrjsonSerializer,
    UnsupportedProductError,
)
from typing_extensions import override

from worker.adapters.elastic_node import StraightNode
from worker.adapters.tls import authority_context
from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.settings import ElasticsearchSettings

# Both headers: the client would add its own `accept` with a version in it, and a real server wants both or neither.
JSON: Final = {"content-type": "application/json", "accept": "application/json"}
NDJSON: Final = JSON | {"content-type": "application/x-ndjson"}
TOO_MANY_REQUESTS = 429
NOT_ALLOWED: Final = "security_exception"
"""The error of one item of a request that is allowed as such: privileges are checked item by item."""
_BLOCKED: Final = "cluster_block_exception"
SERVER_ERRORS = range(500, 600)
_TAKES_BASE64: Final = (9, 3)
"""The first version of Elasticsearch that takes vectors as base64."""


@dataclass(slots=True)
class _Credentials:
    settings: ElasticsearchSettings
    authorization: str | None


class ReloadingClient(AsyncElasticsearch):
    """A client whose credentials are read again from their file when Elasticsearch refuses them.

    So a key is rotated without a restart: put the new one into the file, then invalidate the old one. Not at every
    change of the file: while the known credentials work, a file that is half written harms nobody.
    """

    _credentials: "_Credentials"

    def use(self, settings: ElasticsearchSettings, authorization: str | None) -> None:
        """Send this header, and know where to read it again."""
        self._credentials = _Credentials(settings, authorization)

    @property
    def api_key_id(self) -> str | None:
        """The public half of the API key in use; None where there is none, or where it is not in its usual form."""
        scheme, _, encoded = (self._credentials.authorization or "").partition(" ")
        if scheme != "ApiKey":
            return None
        try:
            return b64decode(encoded, validate=True).decode().partition(":")[0]
        except ValueError:
            return None

    @override
    def options(self, **options: Any) -> Self:
        """Return a client with other options and the same credentials: what one reads again, the other sends."""
        other = super().options(**options)
        other._credentials = self._credentials  # noqa: SLF001 - of the same class
        return other

    @override
    async def perform_request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> ApiResponse[Any]:
        used = self._credentials.authorization
        sent = {**(headers or {}), **({} if used is None else {"authorization": used})}
        try:
            return await super().perform_request(method, path, headers=sent or None, **rest)
        except (AuthenticationException, AuthorizationException) as error:
            if await self.has_newer_credentials(used):
                raise refused_before(describe(error)) from error
            if (key := self.api_key_id) is not None:  # no secret, and what tells one key of the list from the others
                error.add_note(f"API key {key}")
            raise

    async def has_newer_credentials(self, used: str | None = None) -> bool:
        """Read the file again; whether it, or somebody who read it meanwhile, brought others than those `used`."""
        known = self._credentials
        used = used or known.authorization
        # An unreadable file is about to be replaced, perhaps: what is known stays in use.
        with contextlib.suppress(OperatorError):
            known.authorization = await asyncio.to_thread(_authorization, known.settings)
        return known.authorization != used


async def has_newer_credentials(client: AsyncElasticsearch) -> bool:
    """Whether there are others by now. To be asked at items with `NOT_ALLOWED`: the client has seen nothing amiss."""
    return isinstance(client, ReloadingClient) and await client.has_newer_credentials()


def refused_before(detail: str) -> RetryLater:
    """Return what to raise where credentials were refused and there are others by now."""
    return RetryLater(RetryReason.NEW_CREDENTIALS, f"Elasticsearch refuses what was in the file before: {detail}")


def _authorization(settings: ElasticsearchSettings) -> str | None:
    """Return the header that proves who we are, from the settings or their files as they are now."""
    if (api_key := settings.read_api_key()) is not None:
        return f"ApiKey {api_key}"
    if settings.username is None:
        return None
    return "Basic " + b64encode(f"{settings.username}:{settings.read_password() or ''}".encode()).decode()


def build_client(settings: ElasticsearchSettings, *, connections: int = 10) -> ReloadingClient:
    """Return a client that sends every request once. `connections` is per node.

    Raises:
        OperatorError: a secret's file or the CA file cannot be read.
    """
    authorization = _authorization(settings)
    client = ReloadingClient(
        settings.urls,
        node_class=StraightNode,
        request_timeout=settings.request_timeout,
        connections_per_node=connections,
        max_retries=0,
        retry_on_status=(),
        retry_on_timeout=False,
        # Ten times faster than the default, on the event loop.
        serializers={OrjsonSerializer.mimetype: OrjsonSerializer()},
        **_tls_options(settings),
    )
    client.use(settings, authorization)
    return client


async def takes_base64_vectors(client: AsyncElasticsearch) -> bool:
    """Whether every node takes vectors as base64; no if the server does not tell its version.

    `GET /` would tell it too, but not every distribution answers that. Both need the cluster privilege `monitor`.
    Raises like any request where it cannot be reached.
    """
    try:
        with translated():
            response = await client.perform_request("GET", "/_nodes?filter_path=nodes.*.version", headers=JSON)
    except (ApiError, Halt):
        return False
    nodes = response.body.get("nodes") if isinstance(response.body, dict) else None
    versions = [str(node.get("version", "")) for node in (nodes or {}).values()]
    return bool(versions) and min(map(_major_minor, versions)) >= _TAKES_BASE64


def _major_minor(version: str) -> tuple[int, ...]:
    numbers = version.split(".")[:2]
    return tuple(map(int, numbers)) if all(number.isdecimal() for number in numbers) else (0,)


def _tls_options(settings: ElasticsearchSettings) -> dict[str, Any]:
    context = authority_context("elasticsearch.ca_file", settings.ca_file, "the nodes' certificates")
    if settings.fingerprint is not None:
        # The fingerprint is the check: with a pinned certificate there need be no authority to ask.
        if settings.ca_file is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return {"ssl_context": context, "ssl_assert_fingerprint": settings.fingerprint}
    # The client's own context would not compare the certificate with a host that is an IP address, and it would go on
    # trusting the system's authorities beside those of `ca_file`.
    return {"ssl_context": context} if any(url.startswith("https:") for url in settings.urls) else {}


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the client's exceptions into `RetryLater`, `Halt` or `OperatorError`.

    An `ApiError` that says something about the request itself (400, 404, 409, 413 ...) passes: only the caller knows
    what it means there.
    """
    try:
        yield
    except UnsupportedProductError as error:  # an ApiError, too
        raise OperatorError(
            "elasticsearch.hosts: what answers there is not Elasticsearch: check the address"
        ) from error
    except ApiError as error:
        raise _of_status(error) from error
    except ConnectionTimeout as error:
        raise RetryLater(RetryReason.TIMEOUT, f"Elasticsearch did not answer in time: {error.message}") from error
    except TlsError as error:
        raise OperatorError(
            f"elasticsearch: the TLS handshake failed ({error.message}): check hosts, ca_file and fingerprint"
        ) from error
    except ClientConnectionError as error:
        # The text of the exception itself is only "Connection error": the cause is in its message.
        raise RetryLater(RetryReason.CONNECTION, f"Elasticsearch cannot be reached: {error.message}") from error
    except (SerializationError, TransportError) as error:
        raise RetryLater(RetryReason.UNREADABLE_RESPONSE, f"unreadable answer: {error.message}") from error


def _of_status(error: ApiError) -> Exception:
    status = error.meta.status
    detail = describe(error)
    who = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if status == 401:  # noqa: PLR2004 - HTTP's own numbers are clearer than names here
        return Halt(HaltReason.UNAUTHENTICATED, f"Elasticsearch refuses the credentials{who}: {detail}")
    if status == 403 and _fault(error).get("type") == _BLOCKED:  # noqa: PLR2004
        return Halt(HaltReason.WRITE_BLOCKED, detail)
    if status == 403:  # noqa: PLR2004
        return Halt(HaltReason.FORBIDDEN, f"the credentials{who} may not do this: {detail}")
    if status == TOO_MANY_REQUESTS:
        return RetryLater(RetryReason.REJECTED, f"Elasticsearch is overloaded: {detail}")
    if status in SERVER_ERRORS:
        return RetryLater(RetryReason.SERVER_ERROR, f"Elasticsearch failed with {status}: {detail}")
    return error


def describe(error: ApiError) -> str:
    """Return Elasticsearch's error type and reason, without the document that may be in the body."""
    if fault := _fault(error):
        return f"{fault.get('type', 'error')}: {fault.get('reason', '')}"
    return str(error.message)


def _fault(error: ApiError) -> Mapping[str, Any]:
    """Return what Elasticsearch calls the error; nothing where its body is of another form."""
    fault = error.body.get("error") if isinstance(error.body, dict) else None
    match fault:
        # "all shards failed" tells nobody anything; the first cause does.
        case {"type": "search_phase_execution_exception", "root_cause": [dict(cause), *_]}:
            return cause
        case dict():
            return fault
        case _:
            return {}
