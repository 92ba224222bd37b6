"""The only clock of the runtime, so that a test can bring its own."""

import asyncio
import time


class Clock:
    """Monotonic seconds for durations, wall-clock milliseconds for what people and other systems compare."""

    def monotonic(self) -> float:
        """Seconds on the event loop's clock."""
        return asyncio.get_running_loop().time()

    def wall_ms(self) -> int:
        """Milliseconds since 1970. Never part of a version."""
        return time.time_ns() // 1_000_000
