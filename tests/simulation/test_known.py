"""What the worker does not survive yet, each as the short story that a seed was made into.

Strict: whoever mends one of these is told by a test that passes when it should not, and lets the workload into every
story (`drawing.Allowed`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest

from tests.simulation.database import Identity, Schema
from tests.simulation.perform import Outcome, perform
from tests.simulation.story import Step, Story, Surroundings

FULL: Final = Schema(Identity.FULL)
GLOBAL: Final = Schema(Identity.FULL, global_ids=True)
DEFAULT: Final = Schema(Identity.DEFAULT)
TOAST: Final = Schema(Identity.DEFAULT, toast=True)
TOAST_IN_KEY: Final = Schema(Identity.TENANT_IN_KEY, toast=True)
A_SECOND: Final = Step("marker", row=5, pause=1)


def told(schema: Schema, *steps: Step, seed: int = 0) -> Outcome:
    return perform(Story(seed, Surroundings(schema), steps))


def known(reason: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    return pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)


def test_a_delete_that_commits_after_a_snapshot_has_read_its_row() -> None:
    outcome = told(
        FULL,
        Step("upsert"),
        Step("delete", txn=0),  # position 101, and still open
        Step("upsert", row=1),  # position 102: the watermark
        Step("snapshot_begin"),  # reads the row as it was before the delete
        Step("snapshot_end"),
        Step("commit", txn=0),
    )
    assert outcome.violation is None, "the deleted row stays visible"


def test_an_update_that_commits_after_a_snapshot_has_read_its_row() -> None:
    outcome = told(
        FULL,
        Step("upsert"),
        Step("upsert", title=1, txn=0),
        Step("upsert", row=1),
        Step("snapshot_begin"),
        Step("snapshot_end"),
        Step("commit", txn=0),
    )
    assert outcome.violation is None, "the update is lost"


def test_a_move_with_global_ids_whose_document_is_refused_once() -> None:
    outcome = told(
        GLOBAL,
        Step("upsert"),
        Step("bulk_fault", pause=0.5, kind="items", count=1),  # takes the tombstone, refuses the document
        Step("move", to=1),
        A_SECOND,
        seed=4,
    )
    assert outcome.violation is None, "the row has vanished, and counts as superseded"


def test_a_move_with_global_ids_and_a_snapshot() -> None:
    outcome = told(
        GLOBAL,
        Step("touch", row=1),
        Step("move", row=1, tenant=2, to=1),
        Step("snapshot_begin"),
        Step("snapshot_end"),
    )
    assert outcome.violation is None, "the row has vanished"


def test_a_move_with_global_ids_that_is_refused_and_read_again() -> None:
    outcome = told(
        GLOBAL,
        Step("poison", row=4),
        Step("write_block", seconds=3),
        Step("move", row=4, to=2),
        Step("join", pause=0.05),
        seed=600013,
    )
    assert outcome.violation is None, "the refused change is no dead letter, and counts as superseded"


def test_a_key_change_right_behind_an_update_that_leaves_a_value_out() -> None:
    outcome = told(TOAST_IN_KEY, Step("upsert"), Step("upsert", pause=0.5), Step("rekey", to=4))
    assert outcome.violation is None, "the document holds the value from before the update"


def test_a_key_change_right_behind_an_insert_that_leaves_a_value_out() -> None:
    outcome = told(TOAST_IN_KEY, Step("upsert"), Step("move", to=2))
    assert outcome.violation is None, "the row is a dead letter"


@known("of an older partition that another worker reads nobody knows whether all of the former key is applied")
def test_a_key_change_into_another_partition_that_leaves_a_value_out() -> None:
    schema = replace(TOAST_IN_KEY, partitions=2)
    steps = (Step("upsert"), Step("freeze", pause=2.0, seconds=5), Step("upsert"), Step("rekey", to=1))
    outcome = perform(Story(0, Surroundings(schema, workers=2), steps))
    assert outcome.violation is None, "the document holds the value from before the update"


@known("a former key is not searched for: its document is where the row was before a move that no event tells")
def test_a_key_change_right_behind_a_move_that_no_event_tells() -> None:
    schema = replace(DEFAULT, toast=True)
    outcome = told(schema, Step("retitle"), Step("stop", pause=0.5), Step("move", to=2), Step("rekey", tenant=2, to=4))
    assert outcome.violation is None, "the row is a dead letter"


@known("nobody remembers that the stored document is not the row's latest but one")
def test_an_update_that_leaves_out_a_value_of_a_rejected_one() -> None:
    outcome = told(TOAST, Step("upsert"), Step("poison", pause=0.5), Step("retitle", pause=0.5, title=1))
    assert outcome.violation is None, "the document holds the value from before the rejected change"


def test_a_replay_of_moves_writes_nothing() -> None:
    """In other batches than in the first pass: a tombstone that says all that a unit has to say stays as it is."""
    outcome = told(FULL, Step("upsert"), Step("move", pause=0.5, to=1), Step("move", pause=0.5, tenant=1, to=2))
    assert outcome.replay_writes == 0


@known("with one partition more keys move between the old ones, too, and of those none waits for another")
def test_a_value_that_is_left_out_in_another_partition_than_before() -> None:
    outcome = told(
        replace(TOAST, partitions=2),
        Step("retitle", pause=2.0, row=1),
        Step("add_partition"),
        Step("touch", row=1, tenant=1),  # in partition 0, which had no record of this row before
    )
    assert outcome.violation is None, "the change is a dead letter, or holds the value from before"


@known("two workers look for one row at once, because its changes stand in two partitions, and neither finds it")
def test_a_move_that_no_event_tells_in_another_partition_than_before() -> None:
    schema = replace(DEFAULT, partitions=3)
    steps = (Step("upsert", tenant=2), Step("move", to=1, txn=1), Step("add_partition"))
    assert perform(Story(2394, Surroundings(schema, workers=3), steps)).violation is None, "the row is shown twice"


@known("offsets of two partitions cannot be compared, and the new partition had got no further than the late commit")
def test_a_replay_of_a_snapshot_whose_row_goes_on_in_a_new_partition() -> None:
    outcome = told(
        FULL,
        Step("upsert", row=1),
        Step("upsert", row=1, title=1, txn=0),
        Step("upsert", row=2),
        Step("snapshot_begin"),
        Step("snapshot_end"),
        Step("add_partition", pause=3.0),
        Step("commit", pause=3.0, txn=0),
    )
    assert outcome.violation is None, "the replayed snapshot hides the update that was committed behind it"


@known("two snapshots that read a row write one version, that of its last event, and the late write comes last")
def test_a_late_write_of_a_snapshot_before_the_one_that_mends() -> None:
    surroundings = Surroundings(Schema(Identity.DEFAULT, partitions=2), workers=2, latency=2)
    steps = (
        Step("upsert", tenant=1),
        Step("bulk_fault", pause=0.5, kind="garbled"),
        Step("snapshot_begin"),
        Step("retitle", row=3, tenant=2),
        Step("snapshot_end"),
        Step("upsert", txn=1),
        Step("upsert", pause=0.5),
        Step("expel", worker=1),
        Step("snapshot_begin"),
        Step("drift", row=3, tenant=1),
        Step("snapshot_end"),
        Step("expel", pause=0.5),
    )
    assert perform(Story(33, surroundings, steps)).violation is None, "the row is as before the second snapshot"


def test_a_replay_of_a_snapshot_writes_nothing() -> None:
    outcome = told(FULL, Step("upsert"), Step("snapshot_begin"), Step("snapshot_end"))
    assert outcome.replay_writes == 0


def test_a_document_counts_as_indexed_though_the_reply_was_lost() -> None:
    outcome = told(FULL, Step("bulk_fault", kind="lost", count=1), Step("upsert"), A_SECOND)
    assert outcome.verdicts == {"indexed": 1}


def test_a_delete_without_its_tenant() -> None:
    outcome = told(DEFAULT, Step("upsert"), Step("delete", pause=0.5))
    assert outcome.verdicts["dead_lettered"] == 0


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("global_ids", [False, True])
def test_a_move_without_an_event_that_a_snapshot_finds_right_behind_the_rows_last_change(
    *, global_ids: bool, shards: int
) -> None:
    """The document and its tombstone elsewhere have one version then, and with ids over all tenants one id, too."""
    schema = Schema(Identity.DEFAULT, global_ids=global_ids)
    steps = (
        Step("upsert"),
        Step("drift_away", to=1, pause=1),
        Step("snapshot_begin"),
        Step("snapshot_end"),
        Step("drift_away", to=2, pause=1),
    )
    outcome = perform(Story(1, Surroundings(schema, shards=shards), (*steps, A_SECOND)))
    assert outcome.violation is None
    assert outcome.verdicts == {"indexed": 3}
