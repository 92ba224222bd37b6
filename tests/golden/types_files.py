"""The files of golden records: one JSON object a line, texts exactly as Kafka had them.

A schema is many times larger than the row it describes, and the same in record after record. It is written once, as a
line `{"schema": number, "text": ...}`, and a record names it: `"value_schema": 0` says that the value is
`{"schema":<text 0>,"payload":<value>}`, which is exactly what the JSON converter writes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_PAYLOAD: Final = ',"payload":'
_SCHEMA: Final = '{"schema":'


def write(path: Path, records: Sequence[dict[str, Any]]) -> None:
    schemas: dict[str, int] = {}
    lines: list[dict[str, Any]] = []
    for record in records:
        line = dict(record)
        for part in ("key", "value"):
            schema, payload = split(record[part])
            line[part] = payload
            if schema is not None:
                if schema not in schemas:
                    schemas[schema] = len(schemas)
                    lines.append({"schema": schemas[schema], "text": schema})
                line[f"{part}_schema"] = schemas[schema]
        line["headers"] = [list(header) for header in record["headers"]]
        lines.append(line)
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    assert read(path) == list(records)


def split(text: str | None) -> tuple[str | None, str | None]:
    """A record's text as schema and payload; without a schema, the text alone."""
    if text is None or not text.startswith(_SCHEMA):
        return None, text
    _, end = json.JSONDecoder().raw_decode(text, len(_SCHEMA))
    schema = text[len(_SCHEMA) : end]
    assert text[end:].startswith(_PAYLOAD)
    return schema, text[end + len(_PAYLOAD) : -1]


def joined(schema: str, payload: str | None) -> str:
    return f"{_SCHEMA}{schema}{_PAYLOAD}{payload}}}"


def read(path: Path, *, schemas: bool = True) -> list[dict[str, Any]]:
    """The records as they were, or as the same connector writes them with `schemas.enable=false`."""
    texts: dict[int, str] = {}
    records = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        record = json.loads(line)
        if "text" in record:
            texts[record["schema"]] = record["text"]
            continue
        for part in ("key", "value"):
            number = record.pop(f"{part}_schema", None)
            if number is not None and schemas:
                record[part] = joined(texts[number], record[part])
        records.append(record)
    return records
