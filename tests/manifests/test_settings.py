"""The settings in the manifests are the worker's own: they load, and what the pod gives fits them."""

import importlib
import os
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.manifests.rendered import (
    FOLDER,
    IMAGE_ENVIRONMENT,
    OVERLAYS,
    PRODUCTION,
    ROOT,
    Manifest,
    environment,
    one,
    pods,
    settings_of,
    worker_pod,
)
from worker.settings import load_settings
from worker.settings.showing import schema
from worker.settings.worker import CLOSING_SECONDS

FILES = sorted(FOLDER.rglob("syncline.yaml"))
needs_kustomize = pytest.mark.needs_kustomize
OF_BASE = "base"
OF_SERVER = "components/embedding-server"
_MODEL_CALL_SECONDS = 10.0
_INTERPRETER_SECONDS = 13.0
"""Measured after the last line of the worker: torch and its libraries leave, on a machine busy with other things."""


def test_there_are_settings_of_the_base_and_of_dev() -> None:
    assert [str(path.relative_to(FOLDER)) for path in FILES] == ["base/syncline.yaml", "overlays/dev/syncline.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_setting_exists_and_loads(path: Path) -> None:
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema())
    load_settings(path, IMAGE_ENVIRONMENT)


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_has_settings_that_load(overlay: str, tmp_path: Path) -> None:
    for _, pod in pods(overlay):
        settings = settings_of(overlay, pod, tmp_path)
        assert settings.server.host == "0.0.0.0", "the kubelet comes from outside"


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_grace_period_covers_the_longest_stop(overlay: str, tmp_path: Path) -> None:
    pod = worker_pod(overlay)
    assert pod["terminationGracePeriodSeconds"] >= settings_of(overlay, pod, tmp_path).delivery.longest_stop


def test_the_longest_stop_is_the_sum_of_what_limits_each_step() -> None:
    def limit(module: str, name: str) -> float:
        return float(getattr(importlib.import_module(module), name))

    steps = [
        _MODEL_CALL_SECONDS,  # cannot be cut off: a thread is in it
        2 * limit("worker.runtime.committer", "_COMMIT_SECONDS"),  # after the drain, and for what failed then
        limit("worker.adapters.kafka_source", "_CLOSE_SECONDS"),
        limit("worker.adapters.kafka_dead_letters", "_CLOSE_SECONDS"),
        limit("worker.runtime.endpoints", "_CLOSE_SECONDS"),
        _INTERPRETER_SECONDS,
    ]
    assert sum(steps) <= CLOSING_SECONDS


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_threads_are_the_processors_that_the_pod_may_use(overlay: str, tmp_path: Path) -> None:
    pod = worker_pod(overlay)
    resources = pod["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"], "torch does not see a quota"
    assert settings_of(overlay, pod, tmp_path).embedding.threads == int(resources["limits"]["cpu"])


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_may_be_in_flight_is_a_small_part_of_the_memory(overlay: str, tmp_path: Path) -> None:
    pod = worker_pod(overlay)
    memory = pod["containers"][0]["resources"]["limits"]["memory"]
    bytes_ = int(memory.removesuffix("Gi")) * 2**30 if memory.endswith("Gi") else int(memory.removesuffix("Mi")) * 2**20
    assert settings_of(overlay, pod, tmp_path).batch.max_in_flight <= bytes_ / 10


@needs_kustomize
def test_a_gpu_is_asked_for_where_the_model_runs_on_one(tmp_path: Path) -> None:
    for overlay in OVERLAYS:
        pod = worker_pod(overlay)
        device = settings_of(overlay, pod, tmp_path).embedding.device
        assert (device == "cuda") == ("nvidia.com/gpu" in pod["containers"][0]["resources"]["limits"]), overlay


@needs_kustomize
@pytest.mark.parametrize("overlay", PRODUCTION)
def test_in_production_both_connections_are_encrypted_and_prove_who_they_are(overlay: str, tmp_path: Path) -> None:
    settings = settings_of(overlay, worker_pod(overlay), tmp_path)
    assert settings.kafka.security.uses_tls
    assert settings.kafka.security.uses_sasl
    assert settings.kafka.security.password_file is not None
    assert all(url.startswith("https://") for url in settings.elasticsearch.urls)
    assert settings.elasticsearch.api_key_file is not None
    assert settings.kafka.dead_letter_topic is not None


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_files_that_the_settings_name_lie_in_the_secrets_folder(overlay: str, tmp_path: Path) -> None:
    for _, pod in pods(overlay):
        settings = settings_of(overlay, pod, tmp_path)
        (folder,) = (
            mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "credentials"
        )
        security, elasticsearch = settings.kafka.security, settings.elasticsearch
        named = (security.password_file, security.ca_file, elasticsearch.api_key_file, elasticsearch.ca_file)
        assert {str(file.parent) for file in named if file is not None} <= {folder}


@needs_kustomize
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_policy_lets_the_worker_reach_its_servers_and_prometheus_the_worker(
    overlay: str, tmp_path: Path
) -> None:
    settings = settings_of(overlay, worker_pod(overlay), tmp_path)
    spec = one(overlay, "NetworkPolicy")["spec"]
    allowed = {port["port"] for rule in spec["egress"] for port in rule["ports"] if port["protocol"] == "TCP"}
    servers = {int(address.rpartition(":")[2]) for address in settings.kafka.bootstrap_servers}
    servers |= {int(url.rpartition(":")[2]) for url in settings.elasticsearch.urls}
    assert servers <= allowed
    (container,) = worker_pod(overlay)["containers"]
    assert container["ports"] == [{"name": "metrics", "containerPort": settings.server.port}]
    assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == ["metrics"]
    assert all(rule.get("from") for rule in spec["ingress"]), "open to the whole cluster"


@needs_kustomize
def test_the_component_of_an_embedding_server_opens_its_port_and_leaves_the_pod_no_threads(tmp_path: Path) -> None:
    base, component = (os.path.relpath(FOLDER / name, tmp_path.resolve()) for name in (OF_BASE, OF_SERVER))
    told = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    file = tmp_path / "kustomization.yaml"
    file.write_text(yaml.safe_dump({**told, "resources": [base], "components": [component]}), encoding="utf-8")
    overlay = str(tmp_path.resolve())
    egress = one(overlay, "NetworkPolicy")["spec"]["egress"]
    assert egress[:-1] == one(str(FOLDER / OF_BASE), "NetworkPolicy")["spec"]["egress"]
    assert egress[-1] == {"ports": [{"protocol": "TCP", "port": 8080}]}
    variables = environment(worker_pod(overlay))
    settings = tmp_path / "syncline.yaml"
    server = {"backend": "http", "model": "servers/model", "http": {"url": "http://embeddings:8080"}}
    content = yaml.safe_load((FOLDER / "base" / "syncline.yaml").read_text(encoding="utf-8"))
    settings.write_text(yaml.safe_dump({**content, "embedding": server}), encoding="utf-8")
    assert load_settings(settings, variables).embedding.identity == "servers/model"


# -- autoscaling

# Those of KEDA 2.21's scaler of the type `kafka` that may stand in a trigger's metadata.
PARAMETERS = {
    "bootstrapServers",
    "consumerGroup",
    "topic",
    "partitionLimitation",
    "lagThreshold",
    "activationLagThreshold",
    "offsetResetPolicy",
    "allowIdleConsumers",
    "excludePersistentLag",
    "scaleToZeroOnInvalidOffset",
    "limitToPartitionsWithLag",
    "ensureEvenDistributionOfPartitions",
    "fullMetadata",
    "version",
    "tls",
    "unsafeSsl",
    "sasl",
    "saslTokenProvider",
    "awsRegion",
}
_SASL = {"PLAIN": "plaintext", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512"}


def trigger(overlay: str) -> Manifest:
    (found,) = one(overlay, "ScaledObject")["spec"]["triggers"]
    return dict(found)


@needs_kustomize
@pytest.mark.parametrize("overlay", PRODUCTION)
def test_the_autoscaler_looks_at_what_the_worker_reads(overlay: str, tmp_path: Path) -> None:
    settings = settings_of(overlay, worker_pod(overlay), tmp_path)
    told = trigger(overlay)["metadata"]
    assert set(told) <= PARAMETERS
    assert all(isinstance(value, str) for value in told.values()), "KEDA reads texts"
    assert told["bootstrapServers"] == ",".join(settings.kafka.bootstrap_servers)
    assert told["consumerGroup"] == settings.kafka.group_id
    assert [told["topic"]] == [topic for source in settings.sources for topic in source.topics]
    assert told["offsetResetPolicy"] == settings.kafka.start_from.value
    assert settings.kafka.security.mechanism is not None
    assert told["sasl"] == _SASL[settings.kafka.security.mechanism.value]
    assert (told["tls"] == "enable") == settings.kafka.security.uses_tls


@needs_kustomize
@pytest.mark.parametrize("overlay", PRODUCTION)
def test_the_autoscaler_never_goes_to_none_and_goes_down_slowly(overlay: str) -> None:
    spec = one(overlay, "ScaledObject")["spec"]
    told = trigger(overlay)["metadata"]
    assert spec["scaleTargetRef"]["name"] == one(overlay, "Deployment")["metadata"]["name"]
    assert 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    assert (
        spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 300
    )
    assert int(told["lagThreshold"]) >= 1000, "a batch would be a reason to scale"
    assert told["allowIdleConsumers"] == "false"
    both = {"limitToPartitionsWithLag", "ensureEvenDistributionOfPartitions"}
    assert len([key for key in both if told.get(key) == "true"]) <= 1, "KEDA refuses the two together"


@needs_kustomize
@pytest.mark.parametrize("overlay", PRODUCTION)
def test_the_autoscaler_reads_its_login_from_the_workers_secret(overlay: str, tmp_path: Path) -> None:
    settings = settings_of(overlay, worker_pod(overlay), tmp_path)
    authentication = one(overlay, "TriggerAuthentication")
    assert authentication["metadata"]["name"] == trigger(overlay)["authenticationRef"]["name"]
    keys = {entry["parameter"]: entry["key"] for entry in authentication["spec"]["secretTargetRef"]}
    security = settings.kafka.security
    assert security.password_file is not None
    assert security.ca_file is not None
    assert keys == {"username": "kafka-username", "password": security.password_file.name, "ca": security.ca_file.name}


def test_the_model_that_the_tests_assume_is_the_images() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name in ("MODEL", "MODEL_REVISION"):
        values = {line.partition("=")[2] for line in text.splitlines() if line.startswith(f"ARG {name}=")}
        assert len(values) == 1, "said twice, and differently"
        assert values <= set(IMAGE_ENVIRONMENT.values())
