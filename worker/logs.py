"""Logs: one line an event, to standard error, as JSON for machines or in colour for people.

Messages are constant; what varies is in fields, `action` first. Records of libraries take the same way.
"""

import logging
import sys
from typing import Any, Final

import structlog

from worker.settings import LogFormat, LogSettings

# The client's own logger repeats, at a level of its own, what the worker logs with a reason and an action.
_QUIETED: Final = ("elastic_transport", "aiokafka", "httpx", "sentence_transformers", "transformers")

# Never with local variables: they hold documents.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(settings: LogSettings) -> None:
    """Send all logging of this process to standard error in the format of the settings."""
    human = settings.format is LogFormat.HUMAN or (settings.format is LogFormat.AUTO and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if human
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _QUIETED:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
