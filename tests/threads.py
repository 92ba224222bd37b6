"""Work in a thread of its own beside what a test does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Run `work` while the block does; at its end set the event, which asks it to stop, and wait until it has.

    Raises what `work` raised, where somebody sees it.
    """
    stopping = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work(stopping)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
    if failed:
        raise failed[0]
