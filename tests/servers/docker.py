"""The kind `docker`: Kafka and Elasticsearch from their images, through testcontainers."""

import gc
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

from typing_extensions import override

from tests.servers.addresses import Kind
from tests.servers.processes import ServerFailedError
from tests.servers.start import Servers

KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"
ELASTICSEARCH_IMAGE = "docker.elastic.co/elasticsearch/elasticsearch:9.5.0"
ELASTICSEARCH_8_IMAGE = "docker.elastic.co/elasticsearch/elasticsearch:8.19.0"

_NO_ENGINE = "--servers docker needs a running Docker engine, and none answers: start one, or take --servers jvm."

# Its base class is typed, the two containers are not.
Container = Any


def require_engine() -> None:
    """Say in one sentence that no engine answers; testcontainers itself would fail with its client's whole trace."""
    if not _engine_answers():
        raise ServerFailedError(_NO_ENGINE)


def _engine_answers() -> bool:
    import docker  # type: ignore[import-untyped]  # noqa: PLC0415 - installed with testcontainers, for this kind alone

    with warnings.catch_warnings():
        # A client that cannot connect forgets to close its socket; collected here, it disturbs no test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            docker.from_env(timeout=10).close()
        except docker.errors.DockerException:
            answers = False
        else:
            answers = True
        gc.collect()
    return answers


def kafka_container() -> Container:
    """A KRaft broker with the settings of the kind `jvm`; not started yet."""
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415

    container = KafkaContainer(KAFKA_IMAGE).with_kraft()
    container.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    container.with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1")
    container.with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1")
    return container


def elasticsearch_container(image: str = ELASTICSEARCH_IMAGE) -> Container:
    """A single node without security; not started yet."""
    from testcontainers.community.elasticsearch import ElasticSearchContainer  # noqa: PLC0415

    container = ElasticSearchContainer(image)
    container.with_env("discovery.type", "single-node")
    container.with_env("ES_JAVA_OPTS", "-Xms1g -Xmx1g")
    container.with_env("cluster.routing.allocation.disk.threshold_enabled", "false")
    return container


class DockerKind(Servers):
    kind = Kind.DOCKER

    def __init__(self) -> None:
        self._containers: list[Container] = []

    @cached_property
    @override
    def kafka(self) -> str:
        container = self._start(kafka_container)
        return str(container.get_bootstrap_server())

    @cached_property
    @override
    def elasticsearch(self) -> str:
        return _url(self._start(elasticsearch_container))

    @cached_property
    @override
    def elasticsearch_8(self) -> str:
        return _url(self._start(lambda: elasticsearch_container(ELASTICSEARCH_8_IMAGE)))

    @override
    def close(self) -> None:
        for container in self._containers:
            container.stop()

    def _start(self, create: Callable[[], Container]) -> Container:
        # Asked first: creating a container object already talks to the engine.
        require_engine()
        container = create()
        self._containers.append(container)
        container.start()
        return container


def _url(container: Container) -> str:
    return f"http://{container.get_container_host_ip()}:{container.get_exposed_port(container.port)}"
