"""What Debezium says in a record's headers.

Kafka Connect writes a header as plain text (`u`, `24460512`) or as JSON (`"u"`), with or without a schema, as its
`header.converter` has it; all of them are read.
"""

from collections.abc import Mapping
from typing import Final

from worker.records import Record
from worker.stages.decode.json_values import loads

OLD_KEY: Final = "__debezium.oldkey"
"""On the insert half of a changed primary key: the key that the row had before."""

NEW_KEY: Final = "__debezium.newkey"
"""On the delete half, and on the tombstone that follows it: the key that the row has now."""

PREFIX: Final = "__"
"""Before the names that `add.fields` and `add.headers` of ExtractNewRecordState put in place."""


def former_key(record: Record) -> Mapping[str, object]:
    """Return the key columns that the row had before its key changed; none where no header tells."""
    return _key_in(record, OLD_KEY)


def new_key(record: Record) -> Mapping[str, object]:
    """Return the key columns that the row has since its key changed; none where no header tells."""
    return _key_in(record, NEW_KEY)


def _key_in(record: Record, header: str) -> Mapping[str, object]:
    for name, value in record.headers:
        if name == header and value is not None:
            key = header_value(value)
            return key if isinstance(key, dict) else {}
    return {}


def metadata(record: Record) -> dict[str, object]:
    """Return what ExtractNewRecordState copied from the event into headers, by the names they have there.

    Of a header that stands twice the last one counts, as for Kafka Connect.
    """
    return {
        name: header_value(value)
        for name, value in record.headers
        if value is not None and name.startswith(PREFIX) and not name.startswith("__debezium.")
    }


def header_value(value: bytes) -> object:
    """Return a header's value: what its JSON holds, else its text; None where it is no text either."""
    try:
        parsed = loads(value)
    except ValueError:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(parsed, dict) and parsed.keys() == {"schema", "payload"}:
        return parsed["payload"]
    return parsed
