"""What an overlay becomes, and the parts of it that several tests look at."""

import functools
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.plugin import program
from worker.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "kustomize"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
PRODUCTION = [name for name in OVERLAYS if name.startswith("production")]
# As the image sets it: the Dockerfile's ENV.
IMAGE_ENVIRONMENT = {
    "SYNCLINE_IMAGE__MODEL": "sentence-transformers/all-MiniLM-L6-v2",
    "SYNCLINE_IMAGE__REVISION": "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
    "SYNCLINE_IMAGE__PATH": "/opt/model",
}

Manifest = Mapping[str, Any]


@functools.cache
def rendered(overlay: str) -> tuple[Manifest, ...]:
    command = program()
    assert command is not None, "the test lacks the marker needs_kustomize"
    done = subprocess.run(
        [*command, str(FOLDER / "overlays" / overlay)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> list[Manifest]:
    return [manifest for manifest in rendered(overlay) if manifest["kind"] == kind]


def one(overlay: str, kind: str) -> Manifest:
    (found,) = of_kind(overlay, kind)
    return found


def pods(overlay: str) -> Iterator[tuple[str, Manifest]]:
    """The name and the pod's specification of everything that runs something."""
    for manifest in rendered(overlay):
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        match manifest["kind"]:
            case "Deployment" | "Job":
                yield name, manifest["spec"]["template"]["spec"]
            case "CronJob":
                yield name, manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
            case _:
                pass


def worker_pod(overlay: str) -> Manifest:
    pod: Manifest = one(overlay, "Deployment")["spec"]["template"]["spec"]
    return pod


def environment(pod: Manifest) -> dict[str, str]:
    """What a pod's first container gets, as the kubelet resolves it; SYNCLINE_CONFIG left out."""
    container = pod["containers"][0]
    values = dict(IMAGE_ENVIRONMENT)
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("resourceFieldRef")
        if reference is None:
            values[variable["name"]] = variable["value"]
        else:
            group, name = reference["resource"].split(".")
            values[variable["name"]] = container["resources"][group][name]
    values.pop("SYNCLINE_CONFIG")
    return values


def settings_of(overlay: str, pod: Manifest, folder: Path) -> Settings:
    """The settings with which a pod runs: its ConfigMap's file and its variables, read by the worker's own loader."""
    container = pod["containers"][0]
    (path,) = (Path(entry["value"]) for entry in container["env"] if entry["name"] == "SYNCLINE_CONFIG")
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volume = next(one for one in pod["volumes"] if one["name"] == mounts[str(path.parent)])
    (content,) = (
        manifest["data"][path.name]
        for manifest in of_kind(overlay, "ConfigMap")
        if manifest["metadata"]["name"] == volume["configMap"]["name"]
    )
    file = folder / path.name
    file.write_text(content, encoding="utf-8")
    return load_settings(file, environment(pod))
