"""`syncline dead-letters list` and `show`: what was put aside and why, read from the topic, which stays as it is."""

import base64
import contextlib
import heapq
import json
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.control.moments import moment
from worker.control.search import printable
from worker.errors import OperatorError
from worker.ports import DeadLetterLog
from worker.settings.types import parse_duration
from worker.stages.dead_letters import Letter, Omitted, letter_of

_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters; None: any. `since_ms` is when they were put aside."""

    reason: str | None = None
    tenant: str | None = None
    source: str | None = None
    since_ms: int | None = None

    def take(self, letter: Letter) -> bool:
        """Whether a letter is wanted."""
        tenant = None if letter.place is None else letter.place.tenant
        return (
            self.reason in (None, letter.reason)
            and self.tenant in (None, tenant)
            and self.source in (None, letter.source)
            and (self.since_ms is None or (letter.put_aside_ms or 0) >= self.since_ms)
        )


def since(text: str, now_ms: int) -> int:
    """Return a time in milliseconds from `2h` or `7d` (ago), a date, or a date and time (UTC unless it has a zone).

    Never below 0: a time before 1970 means all there is.

    Raises:
        OperatorError: it is none of these.
    """
    if text[-1:].isalpha():  # without a unit it is no duration here: 20261122 is a date, not so many seconds
        with contextlib.suppress(ValueError):
            return max(0, now_ms - round(1000 * parse_duration(text)))
    at = _date(text)
    if at is None:
        raise OperatorError(
            f"--since: {text!r} is no time: give a duration with its unit, such as 30m, 2h or 7d, or a date or a time, "
            "such as 2026-01-31 or 2026-01-31T12:00"
        )
    return max(0, round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))


def _date(text: str) -> datetime | None:
    # Of other numbers, such as milliseconds, fromisoformat makes a date of the Middle Ages where it can.
    if text.isdigit() and len(text) != len("20260131"):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def position(text: str) -> tuple[int, int]:
    """Return partition and offset from `PARTITION:OFFSET`.

    Raises:
        OperatorError: it is something else.
    """
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
        raise OperatorError(f"dead-letters: {text!r} is no position: give PARTITION:OFFSET as the list shows it")
    return int(partition), int(offset)


@dataclass(slots=True)
class Letters:
    """The letters of a topic that pass a filter. Counts what it passes over: `strangers` are no letters at all."""

    log: DeadLetterLog
    filters: Filters
    seen: int = 0
    strangers: int = 0

    async def __aiter__(self) -> AsyncIterator[Letter]:
        """Read to the present end of the topic."""
        async for record in self.log.read(self.filters.since_ms):
            self.seen += 1
            letter = letter_of(record)
            if letter is None:
                self.strangers += 1
            elif self.filters.take(letter):
                yield letter


@dataclass(slots=True)
class Listing:
    """What there is: counts of all, and the last few, without their keys and values."""

    counts: Counter[str]
    last_ms: dict[str, int]
    last: Sequence[Letter]
    strangers: int = 0

    @property
    def total(self) -> int:
        """All letters that passed the filter."""
        return self.counts.total()


async def list_letters(log: DeadLetterLog, filters: Filters, limit: int) -> Listing:
    """Count the letters by reason and keep the `limit` put aside last. Memory does not grow with the topic.

    A topic is read partition by partition: what was read last may be older than what was read before.

    Raises:
        OperatorError: the topic cannot be read.
    """
    letters = Letters(log, filters)
    listing = Listing(Counter(), {}, ())
    newest: list[tuple[tuple[int, int, int], int, Letter]] = []
    async for letter in letters:
        listing.counts[letter.reason] += 1
        listing.last_ms[letter.reason] = max(listing.last_ms.get(letter.reason, 0), letter.put_aside_ms or 0)
        bare = replace(letter, record=replace(letter.record, key=None, value=None, headers=()))
        keep = heapq.heappush if len(newest) < limit else heapq.heappushpop
        keep(newest, (_age_order(letter), letters.seen, bare))
    listing.last = [letter for *_, letter in sorted(newest)]
    listing.strangers = letters.strangers
    return listing


def _age_order(letter: Letter) -> tuple[int, int, int]:
    at = (-1, -1) if letter.at is None else (letter.at.partition, letter.at.offset)
    return letter.put_aside_ms or 0, *at


async def one_letter(log: DeadLetterLog, partition: int, offset: int) -> Letter:
    """Return the letter at a place.

    Raises:
        OperatorError: there is none.
    """
    record = await log.record_at(partition, offset)
    if record is None:
        raise OperatorError(f"dead-letters: there is no record at {partition}:{offset}, or not any more")
    letter = letter_of(record)
    if letter is None:
        raise OperatorError(f"dead-letters: the record at {partition}:{offset} is not a dead letter of Syncline")
    return letter


def show_listing(console: Console, listing: Listing, topic: str) -> None:
    """Print the counts, most frequent first, then the last letters, a line and a message each."""
    _strangers(console, listing.strangers)
    if not listing.total:
        console.print(f"No dead letters in {topic} that match.", markup=False)
        return
    letters = "dead letter" if listing.total == 1 else "dead letters"
    console.print(f"{listing.total:,} {letters} in {topic}", markup=False)
    counts = Table.grid(padding=(0, 2))
    counts.add_column(justify="right")
    for reason, count in listing.counts.most_common():
        counts.add_row(f"{count:,}", printable(reason), f"last {when(listing.last_ms[reason])}")
    console.print(counts)
    if not listing.last:
        return
    console.print()
    if len(listing.last) < listing.total:
        console.print("The last one:" if len(listing.last) == 1 else f"The last {len(listing.last):,}, oldest first:")
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(ratio=1)
    for letter in listing.last:
        grid.add_row(place_of(letter), Text(_headline(letter), no_wrap=True, overflow="ellipsis"))
        # Whole: the field and the reason come at the end of a message.
        grid.add_row("", Text(f"{_origin(letter)}: {printable(letter.message)}", style="dim", overflow="fold"))
    console.print(grid)


def _strangers(console: Console, count: int) -> None:
    if count == 1:
        console.print("1 record of the topic is not a dead letter of Syncline, and is left out.")
    elif count:
        console.print(f"{count:,} records of the topic are not dead letters of Syncline, and are left out.")


def _headline(letter: Letter) -> str:
    row = "" if letter.place is None else f"  {letter.place.document_id} of {letter.place.tenant}"
    return printable(f"{when(letter.put_aside_ms)}  {letter.reason}{row}")


def show_letter(letter: Letter) -> str:
    """Return everything of one letter as plain text, its value laid out if it is JSON."""
    return "\n".join(_letter_lines(letter))


def _letter_lines(letter: Letter) -> Iterator[str]:
    record, place = letter.record, letter.place
    by = f" by version {printable(letter.worker_version)}" if letter.worker_version else ""
    rows: Mapping[str, str | None] = {
        "position": place_of(letter),
        "put aside": f"{when(letter.put_aside_ms, seconds=True)}{by}",
        "reason": f"{letter.reason}, found at {letter.stage or 'an unknown stage'}",
        "message": letter.message,
        "record": f"{_origin(letter)}, of {when(record.timestamp_ms, seconds=True)}",
        "source": letter.source,
        "tenant": None if place is None else place.tenant,
        "document": None if place is None else place.document_id,
        "version": _version(letter),
        "attempts": str(letter.attempts),
        "left out": None if letter.omitted is Omitted.NOTHING else f"the {letter.omitted}: too large for the topic",
    }
    for name, text in rows.items():
        if text is not None:
            yield from _wrapped(f"{name:<10}", printable(text))
    for name, value in record.headers:
        yield from _hanging("header    ", f"{printable(name)} = {_plain_text(value)}")
    if letter.omitted is not Omitted.RECORD:
        yield from _hanging("key       ", _plain_text(record.key))
    if letter.omitted is Omitted.NOTHING:
        yield f"value     {'null' if record.value is None else f'{len(record.value):,} bytes'}"
        yield from _value_lines(record.value)


def _version(letter: Letter) -> str:
    if letter.version is not None:
        return str(letter.version)
    return f"unknown or none; the highest before it was {'unknown' if letter.watermark is None else letter.watermark}"


def _wrapped(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=name, subsequent_indent=" " * len(name)) or [name]


def _hanging(name: str, text: str) -> Iterator[str]:
    """Break a text at the width, not at words: it may have to be copied."""
    room = _WIDTH - len(name)
    for at in range(0, max(1, len(text)), room):
        yield f"{name if at == 0 else ' ' * len(name)}{text[at : at + room]}"


def _plain_text(data: bytes | None) -> str:
    if data is None:
        return "null"
    try:
        return printable(data.decode())
    except UnicodeDecodeError:
        return f"base64 {base64.b64encode(data).decode()}"


def _value_lines(value: bytes | None) -> Iterator[str]:
    if not value:
        return
    try:
        text = json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        yield from _hanging("", _plain_text(value))
        return
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip(" "))
        yield " " * indent + printable(line)


def listing_json(listing: Listing) -> str:
    """Return the listing as a JSON object. `letters` are the last ones, `shown` says how many."""
    return _json(
        {
            "total": listing.total,
            "shown": len(listing.last),
            "by_reason": dict(listing.counts.most_common()),
            "not_letters": listing.strangers,
            "letters": [as_object(letter) for letter in listing.last],
        }
    )


def letter_json(letter: Letter) -> str:
    """Return one letter as a JSON object, with key, headers and value: text where they are, else base64."""
    record = letter.record
    return _json(
        {
            **as_object(letter),
            "headers": [{"name": name, "value": _data(value)} for name, value in record.headers],
            "key": _data(record.key),
            "value": _data(record.value),
        }
    )


def as_object(letter: Letter) -> dict[str, Any]:
    """Return what is known of a letter but for its record's content."""
    at, place = letter.record.position, letter.place
    return {
        "position": place_of(letter),
        "put_aside_ms": letter.put_aside_ms,
        "reason": letter.reason,
        "stage": letter.stage,
        "message": letter.message,
        "topic": at.topic,
        "partition": at.partition,
        "offset": at.offset,
        "timestamp_ms": letter.record.timestamp_ms,
        "source": letter.source,
        "tenant": None if place is None else place.tenant,
        "document_id": None if place is None else place.document_id,
        "version": letter.version,
        "version_epoch": letter.version_epoch,
        "watermark": letter.watermark,
        "attempts": letter.attempts,
        "worker_version": letter.worker_version,
        "omitted": letter.omitted.value,
    }


def _data(data: bytes | None) -> dict[str, str] | None:
    if data is None:
        return None
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _json(value: object) -> str:
    # Escapes all but ASCII: nothing that a record holds can drive a terminal.
    return json.dumps(value, indent=2)


def place_of(letter: Letter) -> str:
    """Return where the letter lies: `PARTITION:OFFSET`."""
    return "?" if letter.at is None else f"{letter.at.partition}:{letter.at.offset}"


def _origin(letter: Letter) -> str:
    at = letter.record.position
    return f"{printable(at.topic)}[{at.partition}] offset {at.offset}"


def when(at_ms: int | None, *, seconds: bool = False) -> str:
    """Return a time in UTC, to the minute or second."""
    if at_ms is None or at_ms <= 0:
        return "unknown time"
    at = moment(at_ms)
    if at is None:
        return "impossible time"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if seconds else f"{at:%Y-%m-%d %H:%M}"
