"""Building the one Elasticsearch client, and turning its exceptions into this project's families.

The client's own retries are off: it re-sends whole requests back to back without waiting, and only the runtime knows
which items of a bulk are worth sending again.
"""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

from elastic_transport import ConnectionError as ClientConnectionError
from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, AsyncElasticsearch, OrjsonSerializer, UnsupportedProductError

from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.settings import ElasticsearchSettings

TOO_MANY_REQUESTS = 429
SERVER_ERRORS = range(500, 600)


def build_client(settings: ElasticsearchSettings, *, connections: int = 10) -> AsyncElasticsearch:
    """Return a client that sends every request once. `connections` is per node.

    Raises:
        OperatorError: a secret's file or the CA file cannot be read.
    """
    options: dict[str, Any] = {}
    if (api_key := settings.read_api_key()) is not None:
        options["api_key"] = api_key
    elif settings.username is not None:
        options["basic_auth"] = (settings.username, settings.read_password() or "")
    if settings.ca_file is not None:
        options["ca_certs"] = _readable_ca(settings)
    if settings.fingerprint is not None:
        options["ssl_assert_fingerprint"] = settings.fingerprint
        # With a pinned certificate there is no authority to ask; the fingerprint is the check.
        options |= {"verify_certs": False, "ssl_show_warn": False} if settings.ca_file is None else {}
    return AsyncElasticsearch(
        settings.urls,
        request_timeout=settings.request_timeout,
        connections_per_node=connections,
        max_retries=0,
        retry_on_status=(),
        retry_on_timeout=False,
        # Ten times faster than the default, on the event loop.
        serializers={OrjsonSerializer.mimetype: OrjsonSerializer()},
        **options,
    )


def _readable_ca(settings: ElasticsearchSettings) -> str:
    try:
        ssl.create_default_context(cafile=str(settings.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(
            f"elasticsearch.ca_file: {settings.ca_file} is not a readable PEM file of certificates "
            f"({error.strerror or error}): give the CA that signed the nodes' certificates"
        ) from error
    return str(settings.ca_file)


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
    if status == 401:  # noqa: PLR2004 - HTTP's own numbers are clearer than names here
        return Halt(HaltReason.UNAUTHENTICATED, f"Elasticsearch refuses the credentials: {detail}")
    if status == 403:  # noqa: PLR2004
        return Halt(HaltReason.FORBIDDEN, f"the credentials may not do this: {detail}")
    if status == TOO_MANY_REQUESTS:
        return RetryLater(RetryReason.REJECTED, f"Elasticsearch is overloaded: {detail}")
    if status in SERVER_ERRORS:
        return RetryLater(RetryReason.SERVER_ERROR, f"Elasticsearch failed with {status}: {detail}")
    return error


def describe(error: ApiError) -> str:
    """Return Elasticsearch's error type and reason, without the document that may be in the body."""
    body = error.body
    if isinstance(body, dict) and isinstance(fault := body.get("error"), dict):
        return f"{fault.get('type', 'error')}: {fault.get('reason', '')}"
    return str(error.message)
