"""What must hold, whatever happens: each invariant is one function that raises `Violation` with a clear sentence.

The names in brackets are those of docs/reliability.md. Those of the first group watch every commit and every write
while the story runs, those of the second look at what it has left behind.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.simulation.database import Database, Identity, Row, Said
from tests.simulation.elasticsearch import Document
from tests.simulation.workers import RECORD_COST, Worker, World, vector_of
from worker.ports import Commit
from worker.records import Place, TopicPartition, Verdict
from worker.stages.offsets import watermark_text


class Violation(Exception):  # noqa: N818 - names what was found
    """An invariant does not hold."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


def _shown(place: Place | tuple[str, str]) -> str:
    return f"{place[0]} of tenant {place[1]}"


class Watching:
    """The first group."""

    def __init__(self, world: World, database: Database) -> None:
        self._world = world
        self._database = database
        self._serials: dict[tuple[int, str], int] = {}
        self._checked: dict[TopicPartition, int] = {}
        self.watermarks_known = True
        """False once commits were lost, and watermarks with them."""
        self.drifts = False
        """Whether rows change without an event: then two snapshots may tell two states of one version."""

    def commits_are_durable(self, who: str, commits: Mapping[TopicPartition, Commit]) -> None:
        """I2: what is committed has reached Elasticsearch or the dead-letter topic."""
        for partition, commit in commits.items():
            said = self._database.said[partition]
            if commit.offset > len(said):
                raise Violation("I2 durable", f"{who} commits {commit.offset}, behind the end of the log")
            dead_letters: set[tuple[int, int]] | None = None
            # What was durable once stays so: the other invariants see to that.
            for offset in range(self._checked.get(partition, 0), commit.offset):
                place, version = said[offset].place, said[offset].version
                if place is None:
                    continue
                if self._is_stored(said[offset], place):
                    continue
                if dead_letters is None:
                    dead_letters = self._world.dead_letters.places
                if not self._put_aside(place, version, dead_letters):
                    raise Violation(
                        "I2 durable",
                        f"{who} commits {commit.offset} of partition {partition.partition}, but the change at offset "
                        f"{offset}, version {version} of {_shown(place)}, is neither stored nor a dead letter",
                    )
            self._checked[partition] = max(self._checked.get(partition, 0), commit.offset)

    def _is_stored(self, said: Said, place: Place) -> bool:
        """Whether this change or a newer one is there.

        It may have found that the row is elsewhere, or gone, by now; and a row of a snapshot, that all is as it says.
        """
        places = [place]
        if self._database.schema.identity is Identity.DEFAULT:
            row_id = int(place.document_id.rpartition("/")[2])
            places += [self._database.place(row_id, tenant) for tenant in self._database.tenants]
            places.append(self._database.key_place(place))
        stored = map(self._world.server.get, places)
        return any(
            held is not None
            and (held.version >= said.version or (not said.positioned and (self._serial(held) or 0) >= said.serial))
            for held in stored
        )

    def _put_aside(self, place: Place, version: int, dead_letters: Iterable[tuple[int, int]]) -> bool:
        """Whether this change or a newer one of its row, which hid it, is a dead letter."""
        by_number = {one.partition: said for one, said in self._database.said.items()}
        letters = (by_number[number][offset] for number, offset in dead_letters)
        return any(
            said.place is not None and self._row(said.place) == self._row(place) and said.version >= version
            for said in letters
        )

    def _row(self, place: Place) -> str:
        """What changes are joined by."""
        key_holds_tenant = self._database.schema.identity is Identity.TENANT_IN_KEY
        return place.document_id if key_holds_tenant else place.document_id.rpartition("/")[2]

    def watermarks_follow_from_the_log(self, who: str, commits: Mapping[TopicPartition, Commit]) -> None:
        """I2b: the watermark beside an offset is the highest version before it, whoever commits it and after what."""
        if not self.watermarks_known:
            return
        for partition, commit in commits.items():
            said = self._database.said[partition][: commit.offset]
            wanted = watermark_text(max((one.version for one in said if one.positioned), default=0))
            if commit.metadata != wanted:
                raise Violation(
                    "I2b watermark", f"{who} commits {commit.offset} with {commit.metadata}, the log says {wanted}"
                )

    def nothing_goes_back(self, place: Place, before: Document | None, after: Document) -> None:
        """I4: neither does a document's version ever fall, nor is an older state of a row written over a newer one."""
        if before is not None and after.version < before.version:
            raise Violation("I4 backwards", f"{_shown(place)} falls from version {before.version} to {after.version}")
        serial = self._serial(after)
        if serial is None or (self.drifts and before is not None and before.version == after.version):
            return
        identity = (self._world.server.shard_of(place.tenant), place.document_id)
        newest = self._serials.get(identity, 0)
        if serial < newest:
            raise Violation("I4 backwards", f"{_shown(place)} shows change {serial} of the table after change {newest}")
        self._serials[identity] = serial

    def _serial(self, document: Document) -> int | None:
        """Which change of the table a document shows; of a tombstone, by its version."""
        if document.tombstone:
            return self._database.serial_of.get(document.version)
        return _serial_of(document.body)

    def tenants_are_apart(self, place: Place, _before: Document | None, after: Document) -> None:
        """I6: a document's tenant, its routing, and the tenant of the row at that moment are one."""
        if after.tombstone or after.body is None:
            if after.body and after.body.keys() != {"sync"}:
                raise Violation("I6 tenants", f"the tombstone of {_shown(place)} holds {sorted(after.body)}")
            return
        tenant = after.body["tenant"]
        row = self._database.states.get(_serial_of(after.body))
        if tenant != place.tenant or row is None or str(row.tenant) != tenant:
            owner = "nobody" if row is None else f"tenant {row.tenant}"
            raise Violation(
                "I6 tenants", f"{_shown(place)} is written as tenant {tenant}; the row was {owner}'s at that change"
            )

    def documents_are_rows(self, place: Place, _before: Document | None, after: Document) -> None:
        """I1b: what is written is a state that the row really had, in all its fields, with the vector of its text."""
        if after.tombstone or after.body is None:
            return
        body = after.body
        row = self._database.states.get(_serial_of(body))
        if row is None or not _shows(body, row):
            raise Violation(
                "I1b state", f"{_shown(place)} is written as {_fields(body)}, but the row was {_fields_of(row)}"
            )
        wanted = vector_of(row.title) if row.title else None
        if body.get("embedding") != wanted:
            raise Violation("I7 vector", f"{_shown(place)} has a vector that is not that of its text {row.title!r}")

    def memory_is_bounded(self, worker: Worker) -> None:
        """I9: what is in flight stays below the mark, but for what one fetch brings."""
        surroundings = self._world.surroundings
        most = surroundings.in_flight_records + surroundings.fetch_max_records * surroundings.schema.partitions + 1
        if worker.pipeline.ledger.bytes_in_flight > most * RECORD_COST:
            raise Violation("I9 memory", f"{worker.name} has {worker.pipeline.ledger.bytes_in_flight} bytes in flight")


def readers_see_their_own(world: World, tenants: Iterable[str]) -> None:
    """I6: a search of one tenant finds documents of this tenant only. Sampled between steps."""
    for tenant in tenants:
        for found in world.server.search(tenant):
            if found.routing != tenant:
                raise Violation("I6 tenants", f"a search of {tenant} finds a document routed to {found.routing}")


def index_equals_database(world: World, database: Database) -> None:
    """I1: every row is shown once and as it is, and nothing else is shown."""
    shown, rows = world.server.live, database.folded()
    excused = _excused(world, database)
    for place, row in rows.items():
        if place in excused:
            continue
        body = shown.get(place)
        if body is None:
            raise Violation("I1 index", f"{_shown(place)} is missing; the row is {_fields_of(row)}")
        if not _shows(body, row):
            raise Violation("I1 index", f"{_shown(place)} shows {_fields(body)}, but the row is {_fields_of(row)}")
    for place in sorted(shown.keys() - rows.keys() - excused):
        raise Violation("I1 index", f"{_shown(place)} is shown as {_fields(shown[place])}, but there is no such row")


def _excused(world: World, database: Database) -> set[tuple[str, str]]:
    """Places whose newest change is a dead letter, or hidden by one of no lower version: they show what was before."""
    newest: dict[tuple[str, str], tuple[int, int]] = {}
    aside: dict[tuple[str, str], int] = {}
    dead_letters = world.dead_letters.places
    for partition, said in database.said.items():
        for offset, one in enumerate(said):
            if one.place is None:
                continue
            newest[one.place] = max(newest.get(one.place, (0, 0)), (one.serial, one.version))
            if (partition.partition, offset) in dead_letters:
                aside[one.place] = max(aside.get(one.place, 0), one.version)
    return {place for place, version in aside.items() if version >= newest[place][1]}


def ids_are_unique(world: World, database: Database) -> None:
    """I5: no row is shown in two places."""
    seen: dict[str, tuple[str, str]] = {}
    excused = _excused(world, database)
    for place, body in world.server.live.items():
        key = body["sync"]["key"]
        if key in seen and place not in excused and seen[key] not in excused:
            raise Violation("I5 unique", f"the row {key} is shown as {_shown(seen[key])} and as {_shown(place)}")
        seen[key] = place


def every_record_has_one_verdict(resting: Iterable[Worker], everybody: Iterable[Worker]) -> None:
    """I3: a worker that came to rest has counted every record that it consumed under exactly one verdict.

    One that was killed or stopped in the middle may have counted fewer, never more.
    """
    for worker in everybody:
        consumed, verdicts = worker.consumed, worker.verdicts.total()
        if verdicts > consumed or (worker in resting and verdicts != consumed):
            raise Violation("I3 verdicts", f"{worker.name} has consumed {consumed} records and counts {verdicts}")


def what_was_written_counts_as_written(world: World, database: Database, everybody: Sequence[Worker]) -> None:
    """I3b: the newest change of a row was not superseded by itself.

    Told where every record was consumed once: else the first worker may have written it, and died before it counted.
    """
    records = sum(one is not None for held in world.broker.partitions.values() for one in held.records)
    if sum(one.consumed for one in everybody) != records:
        return
    newest: dict[Place, int] = {}
    ended: dict[tuple[Place, int], set[Verdict]] = {}
    resolved = {record: verdict for one in everybody for record, verdict in one.resolved.items()}
    for partition, said in database.said.items():
        for offset, one in enumerate(said):
            if one.place is not None:
                newest[one.place] = max(newest.get(one.place, 0), one.version)
                ended.setdefault((one.place, one.version), set()).add(resolved[partition, offset])
    for place, body in world.server.live.items():
        known = Place(*place)
        if body["sync"]["version"] == newest.get(known) and ended[known, newest[known]] == {Verdict.SUPERSEDED}:
            raise Violation("I3 verdicts", f"{_shown(place)} was written, and all that said so counts as superseded")


def dead_letters_are_whole(world: World) -> None:
    """I8: a dead letter is the record as it was, with its place."""
    for letter in world.dead_letters.sent:
        headers = dict(letter.headers)
        partition, offset = int(headers["syncline-partition"] or b""), int(headers["syncline-offset"] or b"")
        of_broker = world.broker.partitions[TopicPartition((headers["syncline-topic"] or b"").decode(), partition)]
        record = of_broker.records[offset]
        if record is None or (record.key, record.value) != (letter.key, letter.value):
            raise Violation("I8 dead letters", f"the dead letter of offset {offset} is not the record that stood there")


def refused_changes_can_come_again(world: World, database: Database) -> None:
    """I8: nothing of its own version hides the newest change of a document from its replay."""
    newest: dict[str, int] = {}
    for place, version, *_ in (one for said in database.said.values() for one in said):
        if place is not None:
            newest[place.document_id] = max(version, newest.get(place.document_id, 0))
    for letter in world.dead_letters.sent:
        headers = dict(letter.headers)
        if headers["syncline-reason"] != b"document_refused":
            continue
        partition = TopicPartition(
            (headers["syncline-topic"] or b"").decode(), int(headers["syncline-partition"] or b"")
        )
        said = database.said[partition][int(headers["syncline-offset"] or b"")]
        if said.place is None or not said.positioned or said.version < newest[said.place.document_id]:
            continue
        held = world.server.get(said.place)
        if held is not None and held.version == said.version and not _was_found_elsewhere(said, database):
            raise Violation(
                "I8 dead letters", f"a replay of version {said.version} finds itself at {_shown(said.place)}"
            )


def _was_found_elsewhere(said: Said, database: Database) -> bool:
    """Whether a snapshot has read the row in another tenant since: the tombstone that it left is to stay."""
    if said.place is None or database.schema.identity is not Identity.DEFAULT:
        return False
    row = said.place.document_id.rpartition("/")[2]
    return any(
        not one.positioned
        and one.serial > said.serial
        and one.place != said.place
        and one.place.document_id.rpartition("/")[2] == row
        for those in database.said.values()
        for one in those
        if one.place is not None
    )


def rejected_for_a_reason(world: World, reasons: Iterable[str]) -> None:
    """I8: nothing is put aside but what this story put in to be rejected."""
    allowed = set(reasons)
    for letter in world.dead_letters.sent:
        headers = dict(letter.headers)
        reason = (headers["syncline-reason"] or b"").decode()
        if reason not in allowed:
            message = (headers["syncline-message"] or b"").decode()
            raise Violation("I8 dead letters", f"a change that can be indexed was put aside: {reason}, {message}")


def replay_changes_nothing(
    world: World,
    texts: int,
    shown: Mapping[tuple[str, str], Any],
    written: Iterable[tuple[Place, Document | None, Document]],
) -> None:
    """I12: the whole topic again embeds nothing and writes nothing."""
    if world.model.texts != texts:
        raise Violation("I12 replay", f"the replay has embedded {world.model.texts - texts} texts")
    if world.server.live != shown:
        changed = [place for place in shown.keys() | world.server.live.keys() if _differs(world, shown, place)]
        raise Violation("I12 replay", f"the replay has changed {', '.join(map(_shown, sorted(changed)))}")
    for place, _, after in written:
        raise Violation("I12 replay", f"the replay has written {_shown(place)}, version {after.version}")


def _differs(world: World, shown: Mapping[tuple[str, str], Any], place: tuple[str, str]) -> bool:
    return world.server.live.get(place) != shown.get(place)


def _serial_of(body: Mapping[str, Any] | None) -> int:
    return int(body["url"][1:]) if body and "url" in body else 0


def _shows(body: Mapping[str, Any], row: Row) -> bool:
    # Empty fields are left out of a document; the serial is the url.
    shown = (body["tenant"], body.get("title", ""), body.get("content"), body.get("url"))
    return shown == (str(row.tenant), row.title, row.content, f"s{row.serial}")


def _fields(body: Mapping[str, Any]) -> str:
    return f"({body.get('tenant')}, {body.get('title', '')!r}, {body.get('content')}, {body.get('url')})"


def _fields_of(row: Row | None) -> str:
    return "deleted" if row is None else f"({row.tenant}, {row.title!r}, {row.content}, s{row.serial})"
