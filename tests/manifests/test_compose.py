"""deploy/compose.yaml cannot be started here, so its parts are held against each other and against the worker."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.manifests.rendered import IMAGE_ENVIRONMENT, ROOT
from worker.settings import load_settings

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
SETTINGS = load_settings(DEPLOY / "compose" / "syncline.yaml", IMAGE_ENVIRONMENT)
CONNECTOR: dict[str, str] = json.loads((DEPLOY / "compose" / "connector.json").read_text(encoding="utf-8"))
ONCE = {"topics", "connector", "apply"}
# Made by other parts of the project, beside this file.


def test_it_has_the_form_of_the_compose_specification() -> None:
    vendored = json.loads((Path(__file__).parent / "schemas" / "compose.json").read_text(encoding="utf-8"))
    schema = vendored["definitions"]["compose"]
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)
    wrong = {**COMPOSE, "services": {"worker": {"imag": "syncline"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validators.validator_for(schema)(schema).validate(wrong)


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    files = {source for source in mounted if source.startswith("./")}
    assert [file for file in sorted(files) if not (DEPLOY / file).exists()] == []
    named = {source for source in mounted if not source.startswith("./")}
    assert named == set(COMPOSE["volumes"])


def test_all_that_goes_on_tells_of_its_health_and_nobody_waits_for_what_cannot_be_known() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == ONCE
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how["condition"] == wanted


def test_every_image_has_a_version_and_every_port_is_of_this_machine_only() -> None:
    for service in SERVICES.values():
        image = service["image"]
        assert image == "syncline" or re.search(r":v?\d", image), image
        assert "latest" not in image
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_worker_is_restricted_as_in_a_cluster() -> None:
    worker = SERVICES["worker"]
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    assert worker["security_opt"] == ["no-new-privileges:true"]
    assert int(worker["stop_grace_period"].removesuffix("s")) >= SETTINGS.delivery.longest_stop
    assert worker["cpus"] == SETTINGS.embedding.threads


def test_the_servers_that_the_settings_name_are_services() -> None:
    assert SETTINGS.kafka.bootstrap_servers == ["kafka:9092"]
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://kafka:9092"
    assert SETTINGS.elasticsearch.urls == ["http://elasticsearch:9200"]
    assert {"kafka", "elasticsearch"} <= set(SERVICES)
    assert CONNECTOR["database.hostname"] in SERVICES
    assert SERVICES["worker"]["ports"] == [f"127.0.0.1:{SETTINGS.server.port}:{SETTINGS.server.port}"]
    scraped = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text(encoding="utf-8"))
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == [f"worker:{SETTINGS.server.port}"]


def test_the_topics_that_the_worker_reads_are_those_that_the_connector_writes_and_are_created() -> None:
    (source,) = SETTINGS.sources
    prefix, tables = CONNECTOR["topic.prefix"], CONNECTOR["table.include.list"].split(",")
    assert source.topics == [f"{prefix}.{table}" for table in tables]
    script = SERVICES["topics"]["command"][0]
    assert SETTINGS.kafka.dead_letter_topic is not None
    for topic in (*source.topics, SETTINGS.kafka.dead_letter_topic):
        assert f"--topic {topic} " in script


def test_the_table_has_the_columns_that_the_source_takes() -> None:
    sql = (DEPLOY / "compose" / "articles.sql").read_text(encoding="utf-8")
    columns = set(re.findall(r"^  (\w+) +(?:text|bigint|jsonb|timestamptz)", sql, re.MULTILINE))
    (source,) = SETTINGS.sources
    taken = {rule.from_ if hasattr(rule, "from_") else rule for rule in source.fields.values()}
    assert columns == taken | {source.tenant, *source.id}
    assert f"primary key ({source.tenant}, {', '.join(source.id)})" in sql
    assert CONNECTOR["database.dbname"] == SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert "wal_level=logical" in SERVICES["postgres"]["command"]


def test_its_head_says_that_it_was_never_started() -> None:
    head = (DEPLOY / "compose.yaml").read_text(encoding="utf-8").split("\nname:")[0]
    assert "never started" in head
