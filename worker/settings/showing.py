"""Settings as people and tools read them: effective values with secrets masked, and the JSON schema."""

from typing import Any

import yaml

from worker.settings.root import Settings

SCHEMA_ID = "settings.v1.json"


def show(settings: Settings) -> str:
    """Return the effective settings as YAML; secrets read `**********`."""
    content = settings.model_dump(mode="json", by_alias=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file, for editors and for checks of manifests."""
    content: dict[str, Any] = _unwrapped(Settings.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **content}


def _unwrapped(content: Any) -> Any:  # noqa: ANN401 - as free as JSON is
    """Join the lines of descriptions: they are wrapped for the source code, not for the reader."""
    if isinstance(content, list):
        return [_unwrapped(value) for value in content]
    if not isinstance(content, dict):
        return content
    return {
        key: " ".join(value.split()) if key == "description" and isinstance(value, str) else _unwrapped(value)
        for key, value in content.items()
    }
