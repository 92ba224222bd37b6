"""Times as records and servers tell them, which need not be times at all."""

from datetime import UTC, datetime


def moment(milliseconds: int | None) -> datetime | None:
    """Return a time in milliseconds since 1970 in UTC; None if there is none, or it is before 1970 or past year 9999.

    A producer that writes microseconds or seconds gives its records such times, and Kafka keeps them.
    """
    if milliseconds is None or milliseconds < 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
