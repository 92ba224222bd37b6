"""Logs: one line an event, to standard error, as JSON for machines or in colour for people.

Messages are constant; what varies is in fields, `action` first. Records of libraries take the same way.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from worker.settings import LogFormat, LogSettings

# Their levels below this are about connections and requests, which the worker logs with a reason and an action.
_QUIETED: Final = {
    "aiohttp": logging.WARNING,
    "aiokafka": logging.WARNING,
    "asyncio": logging.WARNING,
    "elastic_transport": logging.ERROR,  # it warns at each failed request, which the worker retries and counts
    "filelock": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "huggingface_hub": logging.WARNING,
    "sentence_transformers": logging.WARNING,
    "torch": logging.WARNING,
    "transformers": logging.WARNING,
    "urllib3": logging.WARNING,
}
_FIRST: Final = ("timestamp", "level", "event", "action")
_LAST: Final = ("logger", "exception")

# Never with local variables: they hold documents.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(settings: LogSettings) -> None:
    """Send all logging of this process to standard error in the format of the settings."""
    human = settings.format is LogFormat.HUMAN or (settings.format is LogFormat.AUTO and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(human=human))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    adopt_libraries()
    logging.captureWarnings(capture=True)


def adopt_libraries() -> None:
    """Let what libraries log go the way of all logging; call it when they are imported.

    Some bring handlers and levels of their own, and what they write between the lines is no JSON.
    """
    root = logging.getLogger()
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in _QUIETED:
            logger.handlers.clear()
            logger.propagate = True
    for name, level in _QUIETED.items():
        logging.getLogger(name).setLevel(max(level, root.level))


def _formatter(*, human: bool) -> logging.Formatter:
    shared: list[Any] = [
        # Fields first: one that is named like these must not take their place.
        structlog.stdlib.ExtraAdder(),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%S.%fZ", utc=True),
        _one_line,
    ]
    colors = sys.stderr.isatty()
    last: list[Any] = (
        [
            _ordered,
            structlog.dev.ConsoleRenderer(
                colors=colors, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if human
        else [_TRACEBACKS, _ordered, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def _one_line(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make a message one printable line; what has no action gets its logger's name, since only libraries lack one."""
    words = " ".join(str(event["event"]).split())
    event["event"] = "".join(character for character in words if character.isprintable())
    event.setdefault("action", str(event["logger"]).replace(".", "_"))
    return event


def _ordered(_logger: object, _name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Put first what an eye looks for, in the same place on every line."""
    middle = [key for key in event if key not in _FIRST and key not in _LAST]
    return {key: event[key] for key in (*_FIRST, *middle, *_LAST) if key in event}
