"""What runs, and as whom: restricted pods without a token, probes that exist, commands that exist, secrets as files."""

from typing import Any

import pytest

from tests.manifests.rendered import OVERLAYS, Manifest, one, pods, rendered, worker_pod
from worker.cli import build_parser
from worker.metrics import Metrics
from worker.runtime.endpoints import Endpoints

pytestmark = pytest.mark.needs_kustomize
PODS = [
    (overlay, name)
    for overlay in OVERLAYS
    for name in ("Deployment/syncline", "CronJob/syncline-purge", "Job/syncline-apply")
]
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def pod(overlay: str, name: str) -> Manifest:
    return dict(pods(overlay))[name]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_else_runs(overlay: str) -> None:
    assert {name for name, _ in pods(overlay)} == {name for _, name in PODS}


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_a_pod_is_restricted_as_the_pod_security_standards_say(overlay: str, name: str) -> None:
    spec = pod(overlay, name)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(spec)
    for volume in spec["volumes"]:
        assert set(volume) - {"name"} <= RESTRICTED_VOLUMES
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [port for port in container.get("ports", ()) if "hostPort" in port]


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_a_pod_has_no_token_and_writes_to_tmp_alone(overlay: str, name: str) -> None:
    spec = pod(overlay, name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == one(overlay, "ServiceAccount")["metadata"]["name"]
    assert one(overlay, "ServiceAccount")["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "tmp")
    assert "sizeLimit" in volume["emptyDir"], "a full node is worse than a worker that ends"


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_its_command_is_one_of_the_command_line(overlay: str, name: str) -> None:
    arguments = pod(overlay, name)["containers"][0]["args"]
    assert build_parser().parse_args(arguments).command is not build_parser().parse_args([]).command


@pytest.mark.parametrize(("overlay", "name"), PODS)
def test_secrets_are_files_and_in_no_variable(overlay: str, name: str) -> None:
    spec = pod(overlay, name)
    variables = spec["containers"][0]["env"]
    assert not [entry["name"] for entry in variables if "secretKeyRef" in entry.get("valueFrom", {})]
    assert not [entry["name"] for entry in variables if "PASSWORD" in entry["name"] or entry["name"].endswith("KEY")]
    secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert [secret["defaultMode"] for secret in secrets] == [0o440], "the group's, which fsGroup makes the worker's"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_has_a_key_of_its_own(overlay: str) -> None:
    # In dev they are generated, and have a hash at their end.
    assert {name: "-".join(_secret(spec).split("-")[:2]) for name, spec in pods(overlay)} == {
        "Deployment/syncline": "syncline-credentials",
        "CronJob/syncline-purge": "syncline-purge",
        "Job/syncline-apply": "syncline-admin",
    }


def _secret(spec: Manifest) -> str:
    (name,) = (volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume)
    return str(name)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_paths_and_a_port_that_exist(overlay: str) -> None:
    (container,) = worker_pod(overlay)["containers"]
    routes = {
        route.resource.canonical for route in Endpoints(Metrics()).application().router.routes() if route.resource
    }
    (port,) = container["ports"]
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: get["path"] for kind, get in asked.items()} == {
        "startup": "/startupz",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {get["path"] for get in asked.values()} <= routes
    assert {get["port"] for get in asked.values()} == {port["name"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_workers_and_nothing_else(overlay: str) -> None:
    labels = {
        "worker": one(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"],
        "purge": one(overlay, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"],
        "apply": one(overlay, "Job")["spec"]["template"]["metadata"]["labels"],
    }

    def found(selector: dict[str, Any]) -> set[str]:
        return {name for name, has in labels.items() if selector["matchLabels"].items() <= has.items()}

    assert found(one(overlay, "Deployment")["spec"]["selector"]) == {"worker"}
    assert found(one(overlay, "PodDisruptionBudget")["spec"]["selector"]) == {"worker"}
    assert found(one(overlay, "NetworkPolicy")["spec"]["podSelector"]) == {"worker", "purge", "apply"}
    for constraint in worker_pod(overlay)["topologySpreadConstraints"]:
        assert found(constraint["labelSelector"]) == {"worker"}
    for monitor in (manifest for manifest in rendered(overlay) if manifest["kind"] == "PodMonitor"):
        assert found(monitor["spec"]["selector"]) == {"worker"}
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_rollout_moves_one_worker_at_a_time(overlay: str) -> None:
    deployment = one(overlay, "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert deployment["minReadySeconds"] > 0
    assert "replicas" not in deployment, "the autoscaler's number would be undone at every apply"
    assert one(overlay, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
