"""Where a change stands in its database's log, as one integer below 2^56 that rises with every change of a row.

| connector | from | bits |
|---|---|---|
| postgresql | `lsn` | the byte of the write-ahead log |
| mysql, mariadb | `file`, `pos`, `row` | 24 for the number of the binlog file, 32 for the byte in it |
| sqlserver | `change_lsn`, `event_serial_no` | 22 virtual log file, 22 block, 10 slot, 2 event |
| mongodb | `ts_ms`, `ord` | 32 for the second of the cluster time, 24 for the ordinal in it |

MySQL's rows of one binlog event share its `pos`; `row` counts them. Each row takes at least one byte of the event, so
`pos + row` never reaches the next event's position.

SQL Server's `change_lsn` is where the row's change was logged. Changes of one row are logged in the order in which
they take effect, because a row stays locked until its transaction ends; `commit_lsn` would be the same for all
changes of a transaction. Rows of its initial snapshot have only `commit_lsn`, which may lie above a change that was
open at the time, so they count as unpositioned.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from worker.stages.decode.json_values import shown

POSITION_BITS: Final = 56
POSITION_LIMIT: Final = 1 << POSITION_BITS

_BINLOG_NUMBER: Final = re.compile(r"\.([0-9]{1,10})\Z", re.ASCII)
_LSN: Final = re.compile(r"([0-9a-fA-F]{8}):([0-9a-fA-F]{8}):([0-9a-fA-F]{4})", re.ASCII)


def position_of(source: Mapping[str, object]) -> int | None:
    """Return the position in a Debezium `source` block, or None for a change that has none.

    Raises:
        ValueError: the position cannot order changes; the message says which part of it and why.
    """
    connector = source.get("connector")
    read = _POSITIONS.get(connector) if isinstance(connector, str) else None
    if read is None:
        raise ValueError(
            f"the event comes from connector {shown(connector)}; positions are known for {', '.join(_POSITIONS)}: "
            "declare a column that orders changes as 'version'"
        )
    return None if source.get("snapshot") == "incremental" else read(source)


def _postgresql(source: Mapping[str, object]) -> int | None:
    lsn = source.get("lsn")
    if type(lsn) is int and 0 < lsn < POSITION_LIMIT:
        return lsn
    return None if lsn is None else _count(lsn, "lsn", POSITION_LIMIT, lowest=1)


def _mysql(source: Mapping[str, object]) -> int | None:
    file, pos, row = source.get("file"), source.get("pos"), source.get("row")
    if file is None and pos is None:
        return None
    number = _BINLOG_NUMBER.search(file) if isinstance(file, str) else None
    if number is None:
        raise ValueError(f"source.file {shown(file)} does not end in the number of a binlog file")
    place = _count(pos, "pos", 1 << 32, lowest=1) + (0 if row is None else _count(row, "row", 1 << 32))
    return _count(int(number[1]), "file", 1 << 24) << 32 | _count(place, "pos with row", 1 << 32)


def _sqlserver(source: Mapping[str, object]) -> int | None:
    lsn, serial = source.get("change_lsn"), source.get("event_serial_no")
    if lsn is None or lsn == "NULL":  # what an initial snapshot writes
        return None
    parts = _LSN.fullmatch(lsn) if isinstance(lsn, str) else None
    if parts is None:
        raise ValueError(f"source.change_lsn {shown(lsn)} is not a log sequence number such as 00000027:00000ac0:0002")
    file, block, slot = (int(part, 16) for part in parts.groups())
    return (
        _count(file, "change_lsn (virtual log file)", 1 << 22) << 34
        | _count(block, "change_lsn (block)", 1 << 22) << 12
        | _count(slot, "change_lsn (slot)", 1 << 10) << 2
        | (0 if serial is None else _count(serial, "event_serial_no", 1 << 2))
    )


def _mongodb(source: Mapping[str, object]) -> int | None:
    ts_ms, ordinal = source.get("ts_ms"), source.get("ord")
    # All changes of a transaction have one cluster time, so only their place in the partition orders them.
    if ordinal is None or source.get("txnNumber") is not None:
        return None
    seconds = _count(ts_ms, "ts_ms", 1000 << 32, lowest=1) // 1000
    return seconds << 24 | _count(ordinal, "ord", 1 << 24)


def _count(value: object, name: str, limit: int, lowest: int = 0) -> int:
    if type(value) is int and lowest <= value < limit:
        return value
    bits = limit.bit_length() - 1
    bound = f"2^{bits}" if limit == 1 << bits else str(limit)
    raise ValueError(f"source.{name} {shown(value)} is not an integer from {lowest} to below {bound}")


_POSITIONS: Final[Mapping[str, Callable[[Mapping[str, object]], int | None]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
    "sqlserver": _sqlserver,
    "mongodb": _mongodb,
}
