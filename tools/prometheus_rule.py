"""Makes of deploy/alerts/*.yaml one PrometheusRule, as the Prometheus operator reads rules: part of `make docs`."""

from pathlib import Path
from typing import Final

import yaml

_DEPLOY: Final = Path(__file__).parent.parent / "deploy"
PAGE: Final = _DEPLOY / "kustomize" / "components" / "monitoring" / "prometheus-rule.yaml"


def page() -> str:
    """Return the manifest: the groups of all files, in the order of the files' names."""
    groups = [
        group
        for file in sorted((_DEPLOY / "alerts").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    ]
    manifest = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "syncline", "labels": {"app.kubernetes.io/name": "syncline"}},
        "spec": {"groups": groups},
    }
    head = "# Generated from deploy/alerts by `make docs`.\n"
    return head + yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120)


def main() -> None:
    """Write it."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
