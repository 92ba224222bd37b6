"""Takes from public Go modules the schemas that the manifests are checked against: `python -m tools.manifest_schemas`.

Only the kinds that deploy/ uses, without their descriptions, and closed: a key that the schema does not know is a
mistake, though servers would only warn. Needs `go`, and the module proxy that it is set up for.
"""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parent.parent / "tests" / "manifests" / "schemas"
KUBERNETES: Final = "k8s.io/kubernetes@v1.34.4"
KEDA: Final = "github.com/kedacore/keda/v2@v2.21.0"
PROMETHEUS_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
COMPOSE: Final = "github.com/compose-spec/compose-go/v2@v2.16.2"
KINDS: Final = {
    ("", "v1", "Namespace"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("apps", "v1", "Deployment"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
}
CUSTOM: Final = {
    KEDA: ["config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_triggerauthentications.yaml"],
    PROMETHEUS_OPERATOR: [
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ],
}
_PREFIX: Final = "#/definitions/"
_NUMBER_OR_TEXT: Final = {"type": ["integer", "number", "string"]}


def main() -> None:
    """Write one file for each source."""
    swagger = json.loads((module_folder(KUBERNETES) / "api/openapi-spec/swagger.json").read_text(encoding="utf-8"))
    _write("kubernetes", KUBERNETES, dict(kubernetes(swagger["definitions"])))
    for module, files in CUSTOM.items():
        definitions = [yaml.safe_load((module_folder(module) / file).read_text(encoding="utf-8")) for file in files]
        name = "keda" if module == KEDA else "monitoring"
        _write(name, module, dict(item for definition in definitions for item in custom(definition)))
    compose = json.loads((module_folder(COMPOSE) / "schema/compose-spec.json").read_text(encoding="utf-8"))
    _write("compose", COMPOSE, {"compose": without_descriptions(compose)})


def kubernetes(definitions: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield `group/version/Kind`, or the name of a part, with its schema."""
    wanted = []
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            if (kind["group"], kind["version"], kind["kind"]) in KINDS:
                yield _key(**kind), {"$ref": f"{_PREFIX}{name}"}
                wanted.append(name)
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        definition = closed(definitions[name])
        if name.endswith(("IntOrString", "resource.Quantity")):
            definition = _NUMBER_OR_TEXT
        yield name, definition
        wanted += [reference.removeprefix(_PREFIX) for reference in _references(definition)]


def custom(definition: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield `group/version/Kind` with its schema, for each version of a custom resource."""
    spec = definition["spec"]
    for version in spec["versions"]:
        schema = closed(version["schema"]["openAPIV3Schema"])
        yield _key(spec["group"], version["name"], spec["names"]["kind"]), schema


def closed(schema: Any, *, properties: bool = False) -> Any:  # noqa: ANN401 - as free as JSON is
    """Return a schema without what only explains, that refuses keys which it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if properties:  # keys are names here
        return {name: closed(one) for name, one in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return _NUMBER_OR_TEXT
    kept = {
        key: closed(value, properties=key == "properties")
        for key, value in schema.items()
        if key not in {"description", "default", "format", "example"} and not key.startswith("x-kubernetes-")
    }
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not is_open:
        kept["additionalProperties"] = False
    return kept


def without_descriptions(schema: Any) -> Any:  # noqa: ANN401 - as free as JSON is
    """Return a schema without what only explains; a property of that name is one with a schema, and stays."""
    if isinstance(schema, list):
        return [without_descriptions(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_descriptions(value)
        for key, value in schema.items()
        if not (key == "description" and isinstance(value, str))
    }


def _references(schema: Any) -> Iterable[str]:  # noqa: ANN401 - as free as JSON is
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _key(group: str, version: str, kind: str) -> str:
    return "/".join(part for part in (group, version, kind) if part)


def module_folder(name: str) -> Path:
    """Fetch a Go module, `path@version`; return its folder."""
    found = subprocess.run(["go", "mod", "download", "-json", name], check=True, capture_output=True, text=True)  # noqa: S607
    return Path(json.loads(found.stdout)["Dir"])


def _write(name: str, source: str, definitions: Mapping[str, Any]) -> None:
    # A definition a line: what changes with a version is seen in a diff.
    lines = [f"{json.dumps(key)}: {json.dumps(one, sort_keys=True)}" for key, one in sorted(definitions.items())]
    text = ",\n".join([f'"source": {json.dumps(source)}', '"definitions": {\n' + ",\n".join(lines) + "\n}"])
    path = FOLDER / f"{name}.json"
    path.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size // 1024} KiB of {source}")


if __name__ == "__main__":
    main()
