"""Errors by the reaction they ask for, and the bounded codes that label them in metrics and logs.

A function that meets a fault raises the family that says what should happen next: try again (`RetryLater`), stop
consuming because the fault is not the record's (`Halt`), or tell the operator what to change (`OperatorError`).
A fault of one record is no exception: it is a value, `records.Rejection`, because it is an expected outcome.
"""

from enum import StrEnum


class RejectReason(StrEnum):
    """Why a record can never be indexed as it is. Bounded: it is a metric label."""

    INVALID_JSON = "invalid_json"
    NOT_AN_EVENT = "not_an_event"
    WRONG_TABLE = "wrong_table"
    UNKNOWN_OPERATION = "unknown_operation"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    ROW_MISSING = "row_missing"
    KEY_MISSING = "key_missing"
    TENANT_MISSING = "tenant_missing"
    TENANT_UNKNOWN = "tenant_unknown"
    POSITION_INVALID = "position_invalid"
    FIELD_INVALID = "field_invalid"
    UNCHANGED_VALUE_LOST = "unchanged_value_lost"
    EMBEDDING_FAILED = "embedding_failed"
    DOCUMENT_REFUSED = "document_refused"
    DOCUMENT_TOO_LARGE = "document_too_large"
    UNEXPECTED_ERROR = "unexpected_error"


class SkipReason(StrEnum):
    """Why a record needs nothing done. Bounded: it is a metric label."""

    TOMBSTONE = "tombstone"
    NOT_A_ROW = "not_a_row"
    KEY_CHANGE = "key_change"
    LOST_ASSIGNMENT = "lost_assignment"


class RetryReason(StrEnum):
    """Why a request to Elasticsearch or to an embedding server is sent again. Bounded: it is a metric label."""

    REJECTED = "rejected"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    UNREADABLE_RESPONSE = "unreadable_response"
    NEW_CREDENTIALS = "new_credentials"


class HaltReason(StrEnum):
    """Why the worker stops consuming: the fault is not the record's. Bounded: it is a metric label."""

    TARGET_MISSING = "target_missing"
    TARGET_MISCONFIGURED = "target_misconfigured"
    WRITE_BLOCKED = "write_blocked"
    DISK_FLOOD_STAGE = "disk_flood_stage"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    OFFSETS_LOST = "offsets_lost"
    NO_COMMITTED_OFFSET = "no_committed_offset"
    EMBEDDER_FAILED = "embedder_failed"
    EMBEDDER_UNAVAILABLE = "embedder_unavailable"
    DEAD_LETTERS_UNAVAILABLE = "dead_letters_unavailable"
    RECORD_REJECTED = "record_rejected"
    MASS_REJECTION = "mass_rejection"
    MISCONFIGURED = "misconfigured"


class SynclineError(Exception):
    """Base of all errors this package raises on purpose."""


class OperatorError(SynclineError):
    """A mistake that a person can mend. The message is one sentence that says what to change."""


class NotAllowedError(OperatorError):
    """A server refuses this user a right. What can be told without it may still be told."""


class RetryLater(SynclineError):  # noqa: N818 - named by the reaction it asks for
    """The same call may succeed later; its effect is unknown, so it must be safe to repeat.

    `wait_s` is how long the server asks to be left alone; None if it does not say.
    """

    def __init__(self, reason: RetryReason, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.wait_s = wait_s


class Halt(SynclineError):  # noqa: N818 - named by the reaction it asks for
    """Nothing more may be consumed until somebody, or time, has mended the fault."""

    def __init__(self, reason: HaltReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
