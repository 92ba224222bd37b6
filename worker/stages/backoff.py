"""How long to wait before trying again."""


def longest_wait(attempt: int, initial: float, maximum: float) -> float:
    """Return the upper bound in seconds of the wait after failed try number `attempt` (the first is 1).

    The caller draws the wait at random between 0 and this bound ("full jitter"), so that many workers that failed
    together do not come back together.
    """
    # The exponent is bounded because 2.0 ** 2000 overflows, and a worker may retry for months.
    return min(maximum, initial * 2.0 ** min(attempt - 1, 60))
