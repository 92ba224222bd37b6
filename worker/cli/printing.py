"""Standard output: any character, a reader that may go away, and a disk that may be full."""

import io
import os
import sys


class UnwritableError(Exception):
    """Standard output takes no more, and not because its reader has seen enough."""


def take_any_character() -> None:
    """Print what the output's encoding lacks as an escape, where it would be a fault. Standard error does by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(text: str, end: str = "\n") -> None:
    """Print what a command has found. A reader that has gone has what it wanted: the command's exit code stays.

    Raises:
        UnwritableError: for another reason, such as a full disk.
    """
    try:
        # Now and not at the end of the interpreter: what goes wrong is then noticed where it can be handled.
        print(text, end=end, flush=True)
    except BrokenPipeError:
        discard_output()
    except OSError as error:
        discard_output()
        raise UnwritableError(f"standard output cannot be written: {error.strerror}") from error


def discard_output() -> None:
    """Let all that is still printed, and what waits in the buffer, go nowhere: it must not fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
