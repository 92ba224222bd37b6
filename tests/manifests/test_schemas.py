"""Every manifest is one that the servers take: Kubernetes, KEDA, the Prometheus operator."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.manifests.rendered import OVERLAYS, rendered
from tools.prometheus_rule import PAGE, page

pytestmark = pytest.mark.needs_kustomize
SCHEMAS = [
    json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("kubernetes", "keda", "monitoring")
]


def faults(manifest: dict[str, Any]) -> list[str]:
    kind = f"{manifest['apiVersion']}/{manifest['kind']}"
    for schema in SCHEMAS:
        if kind in schema["definitions"]:
            whole = {**schema["definitions"][kind], "definitions": schema["definitions"]}
            found = jsonschema.Draft7Validator(whole).iter_errors(manifest)
            return [f"{kind} {error.json_path}: {error.message}" for error in found]
    return [f"{kind}: no schema; name it in tools/manifest_schemas.py"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_fits_its_schema(overlay: str) -> None:
    assert [fault for manifest in rendered(overlay) for fault in faults(dict(manifest))] == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountTokn": False}, "Tokn"),
        ({"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": 5}}, "schedule: 5 is not of type"),
        ({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "spec": {"triggers": []}}, "scaleTargetRef"),
        ({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "spec": {"podMetricEndpoints": []}}, "Endp"),
        ({"apiVersion": "v2", "kind": "Pod"}, "no schema"),
    ],
)
def test_a_manifest_that_is_wrong_is_noticed(wrong: dict[str, Any], told: str) -> None:
    assert any(told in fault for fault in faults(wrong)), faults(wrong)


def test_the_rules_for_the_operator_are_those_of_the_alerts() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_is_in_one_namespace_which_enforces_restricted_pods(overlay: str) -> None:
    (namespace,) = (manifest for manifest in rendered(overlay) if manifest["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [manifest for manifest in rendered(overlay) if manifest["kind"] != "Namespace"]
    assert {manifest["metadata"]["namespace"] for manifest in others} == {namespace["metadata"]["name"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_can_be_found_by_the_products_name(overlay: str) -> None:
    unlabelled = [
        f"{manifest['kind']}/{manifest['metadata']['name']}"
        for manifest in rendered(overlay)
        if manifest["kind"] not in {"Namespace", "Secret"}
        and manifest["metadata"].get("labels", {}).get("app.kubernetes.io/name") != "syncline"
    ]
    assert unlabelled == []
