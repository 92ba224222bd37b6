"""The first contact with Kafka: seconds instead of the client's minutes, and the reason instead of "cannot bootstrap".

The client's own start tries one broker after the other, logs why each failed and raises an error that no longer says
it. And it is patient: something that accepts the connection but does not speak Kafka keeps it waiting for half a
minute.
"""

import asyncio
import re
import ssl
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aiokafka.conn import create_conn
from aiokafka.errors import IllegalSaslStateError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from worker.adapters.kafka_client import connection_options
from worker.errors import OperatorError
from worker.settings import KafkaSettings

_SECONDS: Final = 5.0
_LOGIN: Final = "check kafka.security.mechanism, username and password"
_PORT: Final = "check the port in kafka.bootstrap_servers and kafka.security.protocol"


class Cluster(NamedTuple):
    """What the cluster says of itself."""

    brokers: list[tuple[str, int]]
    topics: frozenset[str]


async def check_kafka(settings: KafkaSettings, topics: Sequence[str]) -> None:
    """Check that Kafka can be used with these settings and has the topics, the dead-letter topic included.

    Takes two times five seconds at most.

    Raises:
        OperatorError: one sentence that says what to change.
    """
    options = connection_options(settings)
    for name in ("bootstrap_servers", "client_id"):
        del options[name]
    cluster = await _first_answer(settings, options)
    await _reach_brokers(cluster.brokers, settings, options)
    servers = ", ".join(settings.bootstrap_servers)
    if missing := [topic for topic in topics if topic not in cluster.topics]:
        raise OperatorError(
            f"sources: topic {missing[0]!r} does not exist on {servers}, or this user may not see it: "
            "correct its name, or create it first"
        )
    dead_letters = settings.dead_letter_topic
    if dead_letters is not None and dead_letters not in cluster.topics:
        raise OperatorError(
            f"kafka.dead_letter_topic: {dead_letters!r} does not exist on {servers}, or this user may not see it: "
            "correct its name, or create it first"
        )


async def _first_answer(settings: KafkaSettings, options: dict[str, Any]) -> Cluster:
    """Ask all bootstrap servers at once; one that answers is enough."""
    addresses = [_split(server) for server in settings.bootstrap_servers]
    answers = await asyncio.gather(*(_ask(address, options) for address in addresses), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, Cluster):
            return answer
    fault = answers[0]
    if not isinstance(fault, (OSError, KafkaError)):  # a TimeoutError is an OSError
        assert isinstance(fault, BaseException)
        raise fault
    servers = ", ".join(settings.bootstrap_servers)
    raise OperatorError(f"kafka: {servers}: {_told(fault, settings)}") from fault


async def _ask(address: tuple[str, int], options: dict[str, Any]) -> Cluster:
    async with asyncio.timeout(_SECONDS):
        connection = await create_conn(*address, client_id="syncline", **options)
        try:
            # All topics: to ask for one by name would create it on brokers that create topics by themselves.
            answer = await connection.send(MetadataRequest(None, allow_auto_topic_creation=False))
        finally:
            connection.close()
    return Cluster([(broker[1], broker[2]) for broker in answer.brokers], frozenset(row[1] for row in answer.topics))


async def _reach_brokers(brokers: Sequence[tuple[str, int]], settings: KafkaSettings, options: dict[str, Any]) -> None:
    """Connect to the addresses that the cluster gives for its brokers: that is where records will come from."""
    known = {_split(server) for server in settings.bootstrap_servers}
    if not brokers or known.intersection(brokers):
        return
    answers = await asyncio.gather(*(_ask(broker, options) for broker in brokers), return_exceptions=True)
    if all(isinstance(answer, (OSError, KafkaError)) for answer in answers):
        host, port = brokers[0]
        raise OperatorError(
            f"kafka.bootstrap_servers: {', '.join(settings.bootstrap_servers)} answers, but names its broker as "
            f"{host}:{port}, which cannot be reached from here: give the address of a listener that is meant for this "
            "network, or mend advertised.listeners of the brokers"
        )


def _told(fault: OSError | KafkaError, settings: KafkaSettings) -> str:
    tls = settings.security.uses_tls
    match fault:
        case SaslAuthenticationFailed() | UnsupportedSaslMechanismError():
            return f"the login is refused ({_words(fault)}): {_LOGIN}"
        case IllegalSaslStateError():
            return "this listener takes no login: check the port in kafka.bootstrap_servers and kafka.security.protocol"
        case ssl.SSLCertVerificationError():
            return f"the broker's certificate is not trusted ({fault.verify_message}): check kafka.security.ca_file"
        case TimeoutError():
            return f"no answer in Kafka's protocol within {_SECONDS:g} s: {_PORT}"
        case ssl.SSLError():
            return f"the TLS handshake failed ({fault.reason or fault}): {_PORT}"
        case ConnectionError() | KafkaError() if tls and not isinstance(fault, ConnectionRefusedError):
            return f"the connection was closed, perhaps because this port does not use TLS: {_PORT}"
        case OSError():
            return f"no connection ({_words(fault)}): check kafka.bootstrap_servers, and that the brokers run"
        case _:
            return f"the connection was closed ({_words(fault)}): {_PORT}"


def _words(fault: OSError | KafkaError) -> str:
    if isinstance(fault, ConnectionRefusedError):  # asyncio would only repeat the address
        return "connection refused"
    # A KafkaError puts its number and name before what it was given to say.
    given = fault.strerror if isinstance(fault, OSError) else next(iter(fault.args), None)
    words = given if isinstance(given, str) else ""
    return re.sub(r"\s+", " ", words).strip() or type(fault).__name__


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
