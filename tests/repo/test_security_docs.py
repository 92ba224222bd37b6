"""The keys in SECURITY.md are those that are tried on a real server: the files under deploy/elasticsearch."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_every_key_in_the_document_is_a_file_and_every_file_is_in_it() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    files = sorted((ROOT / "deploy" / "elasticsearch").glob("*-key.json"))
    named = sorted(shown, key=lambda body: str(body["name"]))
    kept = sorted((json.loads(path.read_text(encoding="utf-8")) for path in files), key=lambda body: str(body["name"]))
    assert named == kept
    for path in files:
        assert f"(deploy/elasticsearch/{path.name})" in text


def test_every_key_expires_and_none_is_a_superusers() -> None:
    for path in (ROOT / "deploy" / "elasticsearch").glob("*-key.json"):
        body = json.loads(path.read_text(encoding="utf-8"))
        assert body["expiration"]
        (role,) = body["role_descriptors"].values()
        assert set(role["cluster"]) <= {"manage_index_templates"}
        for entry in role["indices"]:
            assert "all" not in entry["privileges"]
            assert "*" not in entry["names"]
