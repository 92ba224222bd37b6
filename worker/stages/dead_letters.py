"""Dead letters: records that were put aside, and why.

A letter is the record as it came (key, value, headers, untouched) and `syncline-*` headers that say where it stood,
why it was put aside, and what it takes to read it once more as it would have been read then.
`schemas/dead-letter.v1.json` describes these headers.

    Letter  --forms-->  what is sent  ...  what is read  --letter_of-->  Letter
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from worker.records import Place, Position, Record

PREFIX: Final = "syncline-"
MAX_MESSAGE: Final = 500
"""Characters of a message that are kept."""
MAX_QUOTED: Final = 60
"""Characters that a message may quote of one value: it is there to find the fault, the value is in the letter."""

_NUMBER: Final = re.compile(r"[0-9]{1,19}")
# What stands in brackets or quotation marks; an apostrophe inside a word is neither.
_QUOTED: Final = re.compile(
    rf"\[[^\]]{{{MAX_QUOTED + 1},}}\]"
    rf"|(?<!\w)(?P<mark>['\"])(?:(?!(?P=mark)).|(?<=\w)(?P=mark)(?=\w)){{{MAX_QUOTED + 1},}}?(?P=mark)(?!\w)",
    re.DOTALL,
)
_WORD: Final = "reason", "stage", "message", "source", "topic", "tenant", "id", "routing", "worker-version"
_COUNT: Final = "partition", "offset", "timestamp", "version", "version-epoch", "watermark", "attempts"
_MARK: Final = "omitted", "null-value"
HEADERS: Final = tuple(f"{PREFIX}{name}" for name in (*_WORD, *_COUNT, *_MARK))
"""Every header that a letter may have of us; others that begin so are the record's own."""
_OURS: Final = frozenset(HEADERS)


class Omitted(StrEnum):
    """What a letter lacks because the dead-letter topic takes no record of that size."""

    NOTHING = "nothing"
    VALUE = "value"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Letter:
    """One record that was put aside.

    `record` is the original, at its original position. `place` is known where mapping came so far, `version` where the
    record carries one of its own. `watermark` is the highest version among the records before it in its partition,
    which orders it where it has no version; None if unknown. `version_epoch` is the source's at that time. `attempts`
    counts how often the record was put aside: more than once if somebody has sent it to its topic again. `at` and
    `put_aside_ms` say where and since when the letter itself lies; both are unknown before it is sent.
    """

    record: Record
    reason: str
    stage: str
    message: str
    source: str | None = None
    place: Place | None = None
    version: int | None = None
    version_epoch: int | None = None
    watermark: int | None = None
    attempts: int = 1
    worker_version: str = ""
    omitted: Omitted = Omitted.NOTHING
    at: Position | None = None
    put_aside_ms: int | None = None

    @property
    def age_from_ms(self) -> int | None:
        """The earlier of the record's own time and the letter's: clocks that are ahead must not make it younger.

        None if the record has no time.
        """
        own = self.record.timestamp_ms
        if own <= 0:
            return None
        return own if self.put_aside_ms is None else min(own, self.put_aside_ms)


def letter(record: Record, reason: str, stage: str, message: str) -> Letter:
    """Begin a letter of a record as it was consumed.

    A record that carries the headers of a letter already (somebody has copied it from the dead-letter topic to its
    own) gets new ones instead of a second set, and counts one attempt more.
    """
    before = {name: value for name, value in record.headers if name in _OURS}
    attempts = 1 + (_number(_text(before.get(f"{PREFIX}attempts"))) or 0)
    if before:
        record = replace(record, headers=_own(record.headers))
    return Letter(record, reason, stage, bounded(message), attempts=attempts)


def headers_of(letter: Letter) -> dict[str, str]:
    """Return the headers that say all of a letter but its record: a few hundred bytes, never more than 4 KiB."""
    record, place = letter.record, letter.place
    values: dict[str, object] = {
        "reason": letter.reason,
        "stage": letter.stage,
        "message": bounded(letter.message),
        "source": letter.source,
        "topic": record.position.topic,
        "partition": record.position.partition,
        "offset": record.position.offset,
        "timestamp": max(0, record.timestamp_ms),
        "tenant": None if place is None else place.tenant,
        "id": None if place is None else place.document_id,
        "routing": None if place is None else place.tenant,
        "version": letter.version,
        "version-epoch": letter.version_epoch,
        "watermark": letter.watermark,
        "attempts": letter.attempts,
        "worker-version": letter.worker_version,
        "omitted": None if letter.omitted is Omitted.NOTHING else letter.omitted.value,
        "null-value": "true" if _is_empty(record) and letter.omitted is Omitted.NOTHING else None,
    }
    return {f"{PREFIX}{name}": _encodable(str(value)) for name, value in values.items() if value is not None}


def forms(letter: Letter) -> Iterator[tuple[Record, dict[str, str]]]:
    """Yield what to send, with the headers to add: the whole; where that is too large, less; at last only our headers.

    What is left out is still in the topic that it came from, as long as that keeps it. A value that is left out becomes
    empty, not null: null would be a delete marker.
    """
    record = letter.record
    # A client refuses to send a record that has neither key nor value.
    yield replace(record, value=b"") if _is_empty(record) else record, headers_of(letter)
    yield replace(record, value=b""), headers_of(replace(letter, omitted=Omitted.VALUE))
    yield replace(record, key=None, value=b"", headers=()), headers_of(replace(letter, omitted=Omitted.RECORD))


def letter_of(stored: Record) -> Letter | None:
    """Read a record of the dead-letter topic; None if it is not a letter."""
    ours = {name.removeprefix(PREFIX): _text(value) for name, value in stored.headers if name in _OURS}
    topic, reason = ours.get("topic"), ours.get("reason")
    partition, offset = _number(ours.get("partition")), _number(ours.get("offset"))
    if not topic or not reason or partition is None or offset is None:
        return None
    return Letter(
        record=Record(
            Position(topic, partition, offset),
            stored.key,
            None if ours.get("null-value") == "true" else stored.value,
            _own(stored.headers),
            _number(ours.get("timestamp")) or 0,
        ),
        reason=reason,
        stage=ours.get("stage", ""),
        message=ours.get("message", ""),
        source=ours.get("source"),
        place=_place(ours),
        version=_number(ours.get("version")),
        version_epoch=_number(ours.get("version-epoch")),
        watermark=_number(ours.get("watermark")),
        attempts=_number(ours.get("attempts")) or 1,
        worker_version=ours.get("worker-version", ""),
        omitted=_omitted(ours.get("omitted")),
        at=stored.position,
        put_aside_ms=stored.timestamp_ms,
    )


def bounded(message: str) -> str:
    """Return a message that quotes at most a short piece of each value, and is short as a whole."""
    short = _QUOTED.sub(lambda match: f"{match[0][: 1 + MAX_QUOTED]}...{match[0][-1]}", message[: 4 * MAX_MESSAGE])
    return short if len(short) <= MAX_MESSAGE else f"{short[: MAX_MESSAGE - 3]}..."


def _own(headers: tuple[tuple[str, bytes | None], ...]) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, value) for name, value in headers if name not in _OURS)


def _is_empty(record: Record) -> bool:
    return record.key is None and record.value is None


def _place(ours: Mapping[str, str]) -> Place | None:
    tenant, document_id = ours.get("tenant"), ours.get("id")
    return None if tenant is None or document_id is None else Place(document_id, tenant)


def _omitted(text: str | None) -> Omitted:
    return Omitted(text) if text in set(Omitted) else Omitted.NOTHING


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
