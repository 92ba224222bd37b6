"""For commands and the start, where a person waits: what went wrong with Elasticsearch, in one sentence."""

import contextlib
from collections.abc import Iterator
from typing import assert_never

from worker.errors import Halt, HaltReason, OperatorError, RetryLater, RetryReason
from worker.settings import ElasticsearchSettings


@contextlib.contextmanager
def explained(elasticsearch: ElasticsearchSettings) -> Iterator[None]:
    """Turn "cannot be reached" and "may not" into one sentence that names the nodes and the setting to change.

    For commands and the start, where a person waits for the answer; a worker that runs waits and retries instead.

    Raises:
        OperatorError: instead of `RetryLater` and `Halt`.
    """
    nodes = ", ".join(elasticsearch.urls)
    try:
        yield
    except RetryLater as error:
        raise OperatorError(
            f"Elasticsearch at {nodes}: {_unreachable(error.reason, elasticsearch)} ({error})"
        ) from error
    except Halt as error:
        raise OperatorError(f"Elasticsearch at {nodes}: {_refused(error.reason, elasticsearch)} ({error})") from error


def _unreachable(reason: RetryReason, elasticsearch: ElasticsearchSettings) -> str:
    match reason:
        case RetryReason.CONNECTION:
            return "no connection; check elasticsearch.hosts, http or https included, and that the server runs"
        case RetryReason.TIMEOUT:
            limit = elasticsearch.request_timeout
            return f"no answer within {limit:g} s; check elasticsearch.hosts and elasticsearch.request_timeout"
        case RetryReason.UNREADABLE_RESPONSE:
            return "what answers does not speak its protocol; check the port in elasticsearch.hosts"
        case RetryReason.REJECTED | RetryReason.SERVER_ERROR | RetryReason.NEW_CREDENTIALS:
            return "the server is not able to answer now; try again when it has recovered"
        case _:
            assert_never(reason)


def _refused(reason: HaltReason, elasticsearch: ElasticsearchSettings) -> str:
    if reason is HaltReason.UNAUTHENTICATED:
        return f"the credentials are refused; check {_credential(elasticsearch)}"
    if reason is HaltReason.FORBIDDEN:
        return f"the privileges do not suffice; grant them to the owner of {_credential(elasticsearch)}"
    return "the request is refused"


def _credential(elasticsearch: ElasticsearchSettings) -> str:
    """Name the setting that holds the secret in use."""
    if elasticsearch.api_key_file is not None:
        return f"elasticsearch.api_key_file ({elasticsearch.api_key_file})"
    if elasticsearch.api_key is not None:
        return "elasticsearch.api_key"
    if elasticsearch.username is not None:
        secret = "password_file" if elasticsearch.password_file is not None else "password"
        return f"elasticsearch.username and elasticsearch.{secret}"
    return "elasticsearch.api_key_file, or username and password_file: none is set"
