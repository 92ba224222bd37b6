"""The fault matrix: every fault, what must be observed, the tests that do so, and what is not as it should be.

`docs/reliability.md` shows it; tests/repo checks that every test named here exists, and that every test of this folder
is named.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Result(StrEnum):
    PASSES = "passes"
    PARTLY = "partly"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Fault:
    number: int
    name: str
    observed: str
    tests: tuple[str, ...]
    """`file::test`, below tests/."""
    result: Result = Result.PASSES
    note: str = ""
    """What is not tested on real servers, or not as asked, and why; and what covers it instead."""


def _in(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{name}" for name in names)


def _elasticsearch(*names: str) -> tuple[str, ...]:
    return _in("faults/test_elasticsearch.py", *names)


def _processes(*names: str) -> tuple[str, ...]:
    return _in("faults/test_processes.py", *names)


def _log(*names: str) -> tuple[str, ...]:
    return _in("faults/test_log.py", *names)


def _halts(*names: str) -> tuple[str, ...]:
    return _in("faults/test_halts.py", *names)


def _client(*names: str) -> tuple[str, ...]:
    return _in("integration/test_source_client.py", *names)


def _kafka(*names: str) -> tuple[str, ...]:
    return _in("faults/test_kafka.py", *names)


_SIMULATION: Final = _in("simulation/test_seeds.py", "fresh_stories_violate_nothing")
_KILLED: Final = _in("e2e/test_kill.py", "killed_at_any_moment_it_ends_with_the_index_as_the_tables_are")

MATRIX: Final = (
    Fault(
        1,
        "killed in the middle of a batch",
        "records come again, no gap, the index as the log",
        _processes("killed_at_an_exact_moment_the_next_start_does_what_was_left") + _KILLED + _SIMULATION,
    ),
    Fault(
        2,
        "frozen (SIGSTOP), shorter and longer than the session",
        "partitions move only in the second case; the zombie's late write loses, its commit is dropped",
        _processes("frozen_for_less_than_the_session_nothing_moves", "a_zombie_that_wakes_up_harms_nothing")
        + _in("unit/test_pipeline_rebalance.py", "a_late_write_after_losing_a_partition_changes_nothing_newer"),
    ),
    Fault(
        3,
        "SIGTERM while idle, embedding, sending, rebalancing",
        "what is in flight is finished and committed; exit code 0 within the grace period",
        _processes("asked_to_stop_at_any_moment_it_ends_in_time_with_0")
        + _in("e2e/test_stop.py", "sigterm_under_load_ends_in_time_with_0_and_the_next_start_goes_on"),
    ),
    Fault(
        4,
        "a second SIGTERM or SIGINT while it drains",
        "it ends at once with 130; nothing unfinished is committed",
        _processes("a_second_signal_ends_the_drain_at_once_and_commits_nothing_unfinished"),
    ),
    Fault(
        5,
        "Elasticsearch refuses whole requests with 429 (a real circuit breaker)",
        "waits at random, no tight loop, the lag tells of it, nothing committed",
        _elasticsearch("a_breaker_that_refuses_whole_requests_is_waited_for")
        + _in("unit/test_pipeline_faults.py", "bytes_in_flight_pause_the_source_and_their_end_resumes_it"),
    ),
    Fault(
        6,
        "502, 503, 504 from a gateway",
        "as 5",
        _elasticsearch("a_gateway_that_has_no_server_behind_it_is_waited_for"),
    ),
    Fault(
        7,
        "one request with items of 200, 201, 409, 400, 429, 500, 503",
        "only what may succeed later is sent again, bad documents are put aside, their neighbours written",
        _elasticsearch("documents_that_cannot_be_stored_are_put_aside_and_their_neighbours_written")
        + _in("unit/test_sending.py", "refused_retried_and_done_items_of_one_request_go_their_own_ways"),
        note="The real server gives 200, 201, 409 and 400 in one request. Items of 429, 500 and 503 cannot be had "
        "at will: the unit test mixes them.",
    ),
    Fault(
        8,
        "an answer with too few items, cut off, no JSON, or a page of HTML",
        "the outcome is unknown: everything is sent again",
        _elasticsearch("an_answer_that_nobody_can_read_is_no_answer"),
        note="Items in another order would not be noticed: the answer is asked for without ids, which halves it, and "
        "Elasticsearch documents its order.",
    ),
    Fault(
        9,
        "the connection is reset before, in and after a request",
        "sent twice, counted once",
        _elasticsearch("a_reset_at_any_moment_of_a_bulk_request_costs_a_repetition"),
    ),
    Fault(
        10,
        "a request times out and arrives late",
        "one timeout, a retry, and the late request does not undo a newer version",
        _elasticsearch("a_request_that_arrives_after_a_newer_one_changes_nothing"),
    ),
    Fault(
        11,
        "Elasticsearch hangs (SIGSTOP) for longer than the session",
        "timeouts; the worker stays in its group",
        _elasticsearch("a_server_that_hangs_costs_no_membership"),
    ),
    Fault(
        12,
        "Elasticsearch restarts; an index without primaries",
        "retries, goes on by itself",
        _in("e2e/test_restarts.py", "elasticsearch_comes_back_and_the_worker_goes_on")
        + _elasticsearch("an_index_without_its_primaries_is_waited_for")
        + _halts("a_closed_index"),
    ),
    Fault(
        13,
        "disk at flood stage",
        "a halt with a reason of its own, lifted when the block is gone",
        _halts("a_disk_at_flood_stage"),
        note="Deletes are held up as well: a tombstone is a write, which the block refuses.",
    ),
    Fault(14, "write block", "a halt, no dead letters", _halts("a_write_block")),
    Fault(
        15,
        "the alias is missing, has no write index, or an index has its name",
        "a halt; no index is created, whatever the cluster allows",
        _halts(
            "a_missing_alias_becomes_no_index",
            "an_alias_without_a_write_index",
            "an_index_in_the_place_of_the_alias",
        ),
    ),
    Fault(
        16,
        "the alias is swapped under a request",
        "nothing lost: a replay by another group fills the new index",
        _elasticsearch("the_alias_is_swapped_under_a_request_and_a_replay_fills_the_new_index"),
    ),
    Fault(
        17,
        "a mapping conflict, strict mapping, wrong vectors",
        "put aside with the reason; the others in the request are written",
        _elasticsearch("documents_that_cannot_be_stored_are_put_aside_and_their_neighbours_written")
        + _in(
            "contract/test_sink.py",
            "a_field_that_the_mapping_does_not_know_is_refused_with_its_reason",
            "a_zero_vector_is_refused",
        ),
        note="The limit on the number of fields cannot be reached: mappings are strict. A vector of another size never "
        "leaves the worker: row 41.",
    ),
    Fault(
        18,
        "every document becomes bad (a bad deploy)",
        "a halt instead of a drained topic",
        _halts("a_deploy_that_makes_every_document_bad_halts_before_the_topic_is_drained"),
    ),
    Fault(
        19,
        "an API key expires, is revoked, may not write",
        "a halt, no dead letters; goes on with a new key in the file",
        _halts(
            "a_key_that_is_revoked_and_replaced_later",
            "a_key_that_expires",
            "a_key_that_is_replaced_before_it_is_revoked_halts_nothing",
            "a_key_that_may_not_write",
        )
        + _in("e2e/test_halts.py", "a_rotated_key_needs_no_restart"),
    ),
    Fault(
        20,
        "certificates: expired, of another authority, of another host",
        "no start, one sentence, no fallback",
        _in(
            "faults/test_tls.py",
            "a_certificate_that_is_not_to_be_believed_ends_the_start_with_a_sentence",
            "a_pinned_certificate_is_believed_whatever_it_says_and_no_other",
            "a_good_certificate_is_believed",
        ),
    ),
    Fault(
        21,
        "requests and documents that are too large (413)",
        "split; a document that never fits is put aside; memory bounded",
        _halts("requests_that_are_too_large_are_split_and_a_document_that_never_fits_is_put_aside")
        + _in("unit/test_pipeline_faults.py", "bytes_in_flight_pause_the_source_and_their_end_resumes_it"),
        note="With a limit of 600 KiB in place of 100 MB: Kafka's own limit of 1 MiB a record comes first.",
    ),
    Fault(
        22,
        "Kafka restarts, is killed, is away for five minutes",
        "goes on by itself, no silent stall",
        _in("e2e/test_restarts.py", "kafka_comes_back_and_the_worker_goes_on")
        + _kafka("brokers_out_of_reach_for_longer_than_the_session", "brokers_away_for_five_minutes")
        + _in("unit/test_watchdog.py", "records_that_nobody_fetches_are")
        + _client(
            "a_coordinator_that_is_loading_is_no_group_without_commits",
            "where_no_broker_tells_what_a_partition_holds_its_commit_is_believed",
        ),
        note="One broker: a coordinator cannot move to another one. The five minutes run with `make test-slow`.",
    ),
    Fault(
        23,
        "slow or half open connections to Kafka",
        "given up and made anew",
        _kafka("slow_brokers_slow_it_down_and_nothing_else", "half_open_connections_are_given_up_and_made_anew")
        + _client("after_the_close_nothing_of_the_client_goes_on"),
        note="After 40 seconds, the client's request timeout.",
    ),
    Fault(
        24,
        "a storm of rebalances",
        "progress; versions never fall; nothing lost",
        _processes("a_storm_of_rebalances_makes_progress_and_loses_nothing") + _SIMULATION,
        note="That no offset of a foreign partition is committed is checked in the simulation, commit by commit.",
    ),
    Fault(
        25,
        "a call of the model longer than the session and the progress limit",
        "no rebalance; `/livez` tells of it; done in the end",
        _processes("a_slow_model_costs_no_membership_and_liveness_tells_of_it")
        + _in("unit/test_health.py", "a_worker_whose_request_hangs_is_not_alive"),
        note="Fetching is a task of its own, so the client's own limit between two polls is never reached.",
    ),
    Fault(
        26,
        "the event loop is blocked for longer than the session",
        "seen in the metric; thrown out of the group and back",
        _processes("a_blocked_event_loop_is_seen_and_outlived"),
    ),
    Fault(
        27,
        "two workers of one group; of one static name",
        "no harm to data",
        _processes("twins_with_one_static_name_harm_no_data", "a_storm_of_rebalances_makes_progress_and_loses_nothing"),
        Result.PARTLY,
        "Twins throw each other out for as long as both live; neither ends by itself. It shows in "
        "`syncline_rebalances_total`.",
    ),
    Fault(
        28,
        "records that are no events",
        "put aside, acknowledged, then committed",
        _log("records_that_are_no_events_are_put_aside_and_committed")
        + _in("unit/test_pipeline_faults.py", "a_rejected_record_is_durable_before_its_offset_is_committed"),
        note="Avro has no schema registry to ask here: such a record is no JSON.",
    ),
    Fault(
        29,
        "the dead-letter topic takes nothing",
        "a halt; nothing from the bad record on is committed; lifts itself",
        _halts("a_dead_letter_topic_that_cannot_be_written_to"),
    ),
    Fault(
        30,
        "the whole topic is replayed",
        "nothing changes, nothing is embedded, no reader sees an old row",
        _log(
            "a_replay_without_moves_writes_nothing_at_all",
            "a_replay_of_the_whole_topic_embeds_nothing_and_shows_nothing_old",
        )
        + _in("unit/test_pipeline.py", "a_replay_of_everything_writes_nothing_and_embeds_nothing"),
    ),
    Fault(
        31,
        "versions out of order, within and across partitions and workers",
        "the newest wins",
        _log("in_any_order_over_partitions_and_workers_the_newest_wins")
        + _in("properties/test_planning.py", "in_any_order_with_any_repetitions_the_store_ends_as_the_source_is"),
    ),
    Fault(
        32,
        "an old change after the delete, and after `gc_deletes`",
        "stays deleted",
        _log("an_old_change_after_the_index_has_forgotten_the_delete_revives_nothing"),
    ),
    Fault(
        33,
        "deleted and created again",
        "visible again, once",
        _log("an_old_change_after_the_index_has_forgotten_the_delete_revives_nothing")
        + _in("e2e/test_changes.py", "a_row_deleted_and_inserted_again_in_one_transaction_is_there"),
    ),
    Fault(
        34,
        "a changed key, its halves in both orders",
        "the new row alone",
        _log("a_changed_key_in_either_order_of_its_halves_leaves_the_new_row_alone")
        + _in("e2e/test_changes.py", "a_row_whose_id_changes_is_found_under_the_new_one_only"),
    ),
    Fault(
        35,
        "a row changes its tenant, and the old events come again",
        "one copy, in the new tenant only, at every moment",
        _log("a_replay_of_the_whole_topic_embeds_nothing_and_shows_nothing_old")
        + _in("e2e/test_changes.py", "an_update_of_the_tenant_column_alone_leaves_no_copy_behind"),
    ),
    Fault(
        36,
        "TRUNCATE",
        "as documented: put aside",
        _log("records_that_are_no_events_are_put_aside_and_committed"),
    ),
    Fault(
        37,
        "records deleted before they were read",
        "a halt, or going on by declared policy, with a warning",
        _halts("records_that_retention_has_deleted_unread")
        + _in("contract/test_source.py", "records_deleted_ahead_of_the_reader_are_no_silent_gap"),
    ),
    Fault(
        38,
        "a topic created anew; partitions added",
        "read from the begin; added partitions wait for the older ones",
        _halts("a_topic_that_is_created_anew")
        + _client("a_log_that_is_shorter_than_what_was_read_is_taken_up_anew")
        + _in("contract/test_source.py", "an_added_partition_is_read_from_its_begin_once_the_older_ones_are_read"),
    ),
    Fault(
        39,
        "the group's offsets are gone",
        "by declared policy: a halt, or from the begin",
        _halts("a_group_that_has_lost_its_offsets")
        + _in("contract/test_source.py", "without_a_commit_it_may_be_told_to_stop"),
    ),
    Fault(
        40,
        "an aborted transaction, and one that is left open",
        "never indexed; the lag tells of what waits behind it",
        _log("what_a_transaction_aborts_is_never_indexed_and_what_it_holds_up_is_seen")
        + _in("contract/test_source.py", "positions_pass_what_transactions_leave_in_the_log"),
    ),
    Fault(
        41,
        "the model fails on everything, returns NaN or another size; fails on one text",
        "on everything: a halt that lifts itself; on one text: put aside",
        _halts("a_model_that_fails_on_everything", "a_text_that_breaks_the_model_and_others_that_do_not"),
    ),
    Fault(
        42,
        "the kernel kills a worker that takes too much memory",
        "started again, it goes on; the same record does not kill it for ever",
        _KILLED + _halts("a_model_that_fails_on_everything"),
        Result.PARTLY,
        "For the worker this is being killed (row 1). A record that kills every worker that reads it would do so for "
        "ever: attempts are not counted beyond the process. What a text may cost is bounded instead: the model sees a "
        "bounded number of characters, and an error of memory that Python sees is a failure of the model (row 41).",
    ),
    Fault(
        43,
        "the model's files are missing or broken, the hub cannot be reached",
        "no start, one sentence, nothing downloaded",
        _in(
            "integration/test_mistakes.py",
            "a_model_folder_that_is_missing",
            "a_model_folder_without_a_model",
            "a_model_that_is_broken",
        )
        + _in("contract/test_embedder.py", "a_model_that_is_not_there_is_said_in_one_sentence"),
        note="There is no hash of a model to compare: `embedding.revision` pins it.",
    ),
    Fault(
        44,
        "clocks an hour apart",
        "no version from a clock; ages never negative",
        _processes("a_clock_that_is_wrong_changes_no_version_and_makes_nothing_younger_than_now"),
        note="The database's clock is moved instead of the worker's: what counts is the difference. Waits follow the "
        "monotonic clock.",
    ),
    Fault(
        45,
        "a full disk, a read-only file system, no file descriptors",
        "goes on",
        _processes(
            "a_full_disk_for_the_log_stops_nothing",
            "without_file_descriptors_it_backs_off_and_goes_on_when_there_are_some",
        ),
    ),
    Fault(
        46,
        "the port for metrics is taken; scrapers that never read",
        "no start, one sentence; the pipeline goes on",
        _in("integration/test_mistakes.py", "the_port_for_metrics_is_taken")
        + _processes("scrapers_that_never_read_hold_nothing_up"),
        note="A worker that nobody can watch does not start.",
    ),
    Fault(
        47,
        "one tenant makes nine tenths of the changes",
        "the others' changes do not wait for all of its",
        _log("a_hot_tenant_in_one_partition_does_not_keep_the_others_waiting"),
        Result.PARTLY,
        "Between partitions: the others wait for no more than one fetch (`kafka.fetch_max_bytes`). Within one it is "
        "first come, first served: keyed by row, a hot tenant's backlog is in all of them, and everybody waits.",
    ),
    Fault(
        48,
        "a soak with random faults",
        "the index equals the tables",
        _in("faults/test_soak.py", "random_faults_over_random_changes"),
        note="Runs with `make test-slow`, for SOAK_MINUTES (30), with a seed that it prints.",
    ),
)
