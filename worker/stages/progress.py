"""How far a consumer group is: what its members and two looks at its partitions, some seconds apart, tell."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from worker.records import TopicPartition
from worker.stages.findings import Finding, Level, counted, failure, listed, note, ok, warning

_JOINING: Final = frozenset({"PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling"})
"""States in which members agree on who reads what; the last two are those of the newer group protocol."""


@dataclass(frozen=True, slots=True)
class Member:
    """One worker of the group, as the brokers know it."""

    client: str
    host: str
    partitions: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class GroupState:
    """`state` in Kafka's words: Stable, Empty, Dead, PreparingRebalance ..."""

    state: str
    members: tuple[Member, ...] = ()

    @property
    def joining(self) -> bool:
        """Whether the members are agreeing on who reads what: nothing is read meanwhile."""
        return self.state in _JOINING

    @property
    def assigned(self) -> frozenset[TopicPartition]:
        """All partitions that some member reads."""
        return frozenset().union(*(member.partitions for member in self.members))


class Look(NamedTuple):
    """One partition at one moment: the offsets that it holds (`first` to below `end`), and what the group committed."""

    first: int
    end: int
    committed: int | None

    @property
    def done(self) -> int:
        """Where the group goes on; what was deleted from the log unread is gone, and waits no more."""
        return self.first if self.committed is None else max(self.committed, self.first)

    @property
    def lag(self) -> int:
        """Offsets that wait to be done."""
        return max(0, self.end - self.done)

    @property
    def lost(self) -> int:
        """Offsets that were deleted from the log before they were done."""
        return 0 if self.committed is None else max(0, self.first - self.committed)


class Times(NamedTuple):
    """When records of a partition were written, in milliseconds since 1970: the last one done, the next one to do."""

    done_ms: int | None = None
    next_ms: int | None = None


_UNKNOWN: Final = Times()
_IN_HAND_MS: Final = 60_000
"""What waits for less may well be in a worker's hands: as much waits at any moment, and grows by nothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Two looks at a partition, `seconds` apart."""

    partition: TopicPartition
    before: Look
    after: Look
    seconds: float
    times: Times = _UNKNOWN

    @property
    def rate(self) -> float:
        """Offsets done a second."""
        return max(0, self.after.done - self.before.done) / self.seconds

    @property
    def stuck(self) -> bool:
        """Whether what waited at the first look waits still, and nothing before it was done."""
        return self.before.lag > 0 and self.after.lag > 0 and self.after.committed == self.before.committed

    @property
    def name(self) -> str:
        """`topic[partition]`."""
        return _name(self.partition)


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"


def group_findings(group: GroupState, partitions: Collection[TopicPartition]) -> Iterator[Finding]:
    """Yield who reads, and what nobody reads."""
    if not group.members:
        yield failure(
            "group",
            "no member: nobody reads the topics",
            "start a worker with syncline run, or correct kafka.group_id; in a rollout, look again in a minute",
        )
        return
    members = counted(len(group.members), "member")
    if group.joining:
        yield warning("group", f"{members}, agreeing on who reads what ({group.state})", "look again in a minute")
        return
    yield ok("group", f"{members}, {group.state.lower()}")
    # A member's assignment may be hidden; then all would look unread.
    unread = [one for one in partitions if group.assigned and one not in group.assigned]
    if unread:
        yield warning(
            "group",
            f"no member reads {listed(map(_name, unread))}",
            "a new topic or partition is noticed within kafka.metadata_max_age; else compare the members' settings",
        )
    if idle := sum(not member.partitions for member in group.members if group.assigned):
        yield note("group", f"{counted(idle, 'member')} without a partition: there are more workers than partitions")


def progress_findings(found: Sequence[Progress], group: GroupState, now_ms: int) -> Iterator[Finding]:
    """Yield how far the group is, whether it goes on, and whether something was lost."""
    lag = sum(one.after.lag for one in found)
    yield from _lost(found)
    if not lag:
        yield ok("lag", "nothing waits" if found else "no partitions yet")
        return
    waiting = [one.times.next_ms for one in found if one.times.next_ms is not None]
    since = f", the oldest for {age(now_ms - min(waiting))}" if waiting else ""
    told = f"{counted(lag, 'offset')} wait{'s' if lag == 1 else ''}{since}"
    stuck = [one for one in found if one.stuck]
    seconds = max((one.seconds for one in found), default=0)
    if not stuck:
        yield ok("lag", told)
        yield from _outlook(found, lag, None if not waiting else now_ms - min(waiting))
    elif not any(one.after.done > one.before.done for one in found):
        level = Level.WARNING if group.joining else Level.FAILURE
        yield Finding("lag", level, f"{told}, and none was done within {seconds:.0f} s", _ask(group))
    else:
        yield note("lag", told)
        yield warning(
            "lag",
            f"nothing was done within {seconds:.0f} s in {listed((one.name for one in stuck), 5)}, but in others",
            "mend a halt if a worker tells of one; else look again with a longer --interval: a worker takes its "
            "partitions in turn",
        )


def _ask(group: GroupState) -> str:
    if not group.members:
        return "see the line 'group'"
    return "if a worker tells of a halt, see there; else its log, and 'SynclineNoProgress' in deploy/README.md"


def _lost(found: Sequence[Progress]) -> Iterator[Finding]:
    lost = {one.name: one.after.lost for one in found if one.after.lost}
    if lost:
        yield failure(
            "lag",
            f"{counted(sum(lost.values()), 'offset')} of {listed(lost, 5)} were deleted by the topic's retention "
            "before they were done",
            "take a new snapshot of the table, then set the group's offsets to the earliest: see 'Halt offsets_lost' "
            "in deploy/README.md",
        )


def _outlook(found: Sequence[Progress], lag: int, oldest_ms: int | None) -> Iterator[Finding]:
    done = sum(one.rate for one in found)
    added = sum((one.after.end - one.before.end) / one.seconds for one in found)
    if done > added:
        yield note(
            "rate", f"{done:,.0f} a second done, {added:,.0f} added: caught up in {age(1000 * lag / (done - added))}"
        )
    elif added > 0 and (oldest_ms is None or oldest_ms > _IN_HAND_MS):
        yield note("rate", f"{done:,.0f} a second done, {added:,.0f} added: the lag does not shrink")


def looks(
    before: Mapping[TopicPartition, Look], after: Mapping[TopicPartition, Look], seconds: float
) -> list[Progress]:
    """Return the progress of every partition that there is; one that is new was as it is now."""
    return [Progress(one, before.get(one, look), look, seconds) for one, look in sorted(after.items())]


def age(milliseconds: float) -> str:
    """Return a duration as people say it: `less than a second`, `42 s`, `12 min`, `5 h`, `3 days`."""
    seconds = max(0, milliseconds) / 1000
    for unit, name in ((172_800, ""), (7200, "h"), (120, "min")):
        if seconds >= unit:
            return counted(round(seconds / 86_400), "day") if not name else f"{seconds / (unit / 2):.0f} {name}"
    return "less than a second" if seconds < 1 else f"{seconds:.0f} s"
