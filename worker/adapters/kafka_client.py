"""The settings of a Kafka connection in aiokafka's terms, shared by consumer, producer and admin client."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from aiokafka import ConsumerRecord
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from typing_extensions import override

from worker.adapters.tls import authority_context
from worker.errors import OperatorError
from worker.records import Position, Record
from worker.settings import KafkaSecurity, KafkaSettings, SaslMechanism
from worker.settings.types import read_secret

CLIENT_ID: Final = "syncline"
"""When a setting is wrong, as a rule; later it is the brokers' state."""
_log = logging.getLogger(__name__)


class FileToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka publishes no types
    """An OAUTHBEARER token that something else keeps fresh in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    async def token(self) -> str:
        """Return the token as it is now."""
        content = await asyncio.to_thread(self._path.read_text, encoding="utf-8-sig")
        return content.strip()


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client takes for a connection.

    Raises:
        OperatorError: a certificate, key or password file cannot be read.
    """
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": CLIENT_ID,
        "security_protocol": security.protocol.value,
    }
    if security.uses_tls:
        options["ssl_context"] = _tls_context(security)
    if security.uses_sasl and security.mechanism is not None:
        options["sasl_mechanism"] = security.mechanism.value
        if security.mechanism is SaslMechanism.OAUTHBEARER and security.token_file is not None:
            read_secret("kafka.security.token", None, security.token_file)  # only to find a missing file now
            options["sasl_oauth_token_provider"] = FileToken(security.token_file)
        else:
            options["sasl_plain_username"] = security.username
            options["sasl_plain_password"] = security.read_password()
    return options


def record_of(message: ConsumerRecord, epoch: int = 0) -> Record:
    """Return what the client has fetched as a record of the assignment `epoch`."""
    return Record(
        position=Position(message.topic, message.partition, message.offset, epoch),
        key=message.key,
        value=message.value,
        headers=tuple(message.headers),
        timestamp_ms=message.timestamp,
    )


def _tls_context(security: KafkaSecurity) -> ssl.SSLContext:
    context = authority_context("kafka.security.ca_file", security.ca_file, "the brokers' certificates")
    if security.certificate_file is not None and security.key_file is not None:
        try:
            context.load_cert_chain(str(security.certificate_file), str(security.key_file))
        except (OSError, ssl.SSLError) as error:
            raise OperatorError(
                f"kafka.security: {security.certificate_file} and {security.key_file} are not a readable PEM "
                f"certificate and its key ({error.strerror or error})"
            ) from error
    return context


def start_up_faults(settings: KafkaSettings) -> contextlib.AbstractContextManager[None]:
    """Turn what goes wrong at the first contact into one sentence that names the setting to change."""
    return told_faults(settings, "at the first contact", is_first=True)


@contextlib.contextmanager
def told_faults(settings: KafkaSettings, when: str, *, is_first: bool = False) -> Iterator[None]:
    """Turn what goes wrong in the block into one sentence; `when` says in its words where that is.

    `is_first`: nothing has answered yet, so the address may be wrong.

    Raises:
        OperatorError: in place of a `KafkaError`.
    """
    try:
        yield
    except KafkaError as error:
        raise OperatorError(sentence_of(error, settings, when, is_first=is_first)) from error


def sentence_of(error: KafkaError, settings: KafkaSettings, when: str, *, is_first: bool = False) -> str:
    """Return what an error of Kafka means for an operator, with the setting to change where there is one."""
    servers = ", ".join(settings.bootstrap_servers)
    match error:
        case SaslAuthenticationFailed() | UnsupportedSaslMechanismError():
            return f"kafka.security: {servers} refuses the login ({error}): check mechanism, username and password"
        case TopicAuthorizationFailedError() | GroupAuthorizationFailedError() | ClusterAuthorizationFailedError():
            return (
                f"kafka: {servers} does not allow this ({error}): grant the user read on the topics and on group "
                f"{settings.group_id!r}"
            )
        case KafkaConnectionError() if is_first:
            return f"kafka.bootstrap_servers: cannot connect to {servers}: check host, port and kafka.security.protocol"
        case KafkaConnectionError() | KafkaTimeoutError() | RequestTimedOutError():
            # Whoever was connected before has no setting to change.
            return f"kafka: {servers} does not answer {when} ({error!r}): look whether the brokers are up"
        case _:
            return f"kafka: {servers} answers with an error {when}: {error!r}"


async def ended(closing: Coroutine[Any, Any, object], seconds: float) -> None:
    """Wait until something is closed, but no longer. What it raises is logged; that it is cancelled is no matter."""
    task = asyncio.ensure_future(closing)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        task.cancel()
    if not task.done():
        _log.warning("a client of Kafka did not close in time", extra={"action": "close_timeout"})
    elif not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("a client of Kafka did not close in order", extra={"action": "close_failed", "error": repr(error)})
