"""What the worker logs: one line an event, in one order, without noise, documents and secrets."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from worker import logs
from worker.settings import LogFormat, LogSettings, Settings

SECRET = "hunter2-MARK"


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, show = root.handlers[:], root.level, warnings.showwarning
    names = ("elastic_transport", "aiokafka", "huggingface_hub", "py.warnings")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], warnings.showwarning = handlers, show
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def configure(form: LogFormat = LogFormat.JSON, level: str = "info") -> logging.Logger:
    logs.configure(LogSettings.model_validate({"format": form, "level": level}))
    return logging.getLogger("worker.test")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "logs go to standard error"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_an_event_is_one_json_object_in_one_order(capsys: pytest.CaptureFixture[str]) -> None:
    configure().info("model loaded", extra={"action": "model_loaded", "model": "m", "n": 3})
    (line,) = lines(capsys)
    assert list(line) == ["timestamp", "level", "event", "action", "model", "n", "logger"]
    assert line["level"] == "info"
    assert line["event"] == "model loaded"
    assert line["logger"] == "worker.test"
    assert line["timestamp"].endswith("Z")


def test_a_value_that_json_does_not_know_is_still_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure().info("odd", extra={"action": "odd", "value": {1, 2}, "other": "é"})
    (line,) = lines(capsys)
    assert (line["value"], line["other"]) == ("{1, 2}", "é")


def test_a_field_cannot_take_the_place_of_level_time_or_logger(capsys: pytest.CaptureFixture[str]) -> None:
    configure().warning("real", extra={"action": "a", "level": "x", "logger": "y", "timestamp": "z"})
    (line,) = lines(capsys)
    assert (line["level"], line["logger"]) == ("warning", "worker.test")
    assert line["timestamp"] != "z"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.HUMAN])
def test_a_message_is_one_line_and_drives_no_terminal(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(form).info("one\ntwo \x1b[31mred", extra={"action": "a", "value": "\x1b[31mred\nline"})
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "\x1b" not in printed
    assert "one two" in printed


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.HUMAN])
def test_an_exception_is_logged_without_local_variables(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    log = configure(form)
    document = SECRET.replace("MARK", "LOCAL")
    empty: dict[object, str] = {}
    try:
        empty[len(document)]
    except KeyError:
        log.exception("it broke", extra={"action": "broken"})
    printed = capsys.readouterr().err
    assert "KeyError" in printed
    assert "test_logs.py" in printed
    assert document not in printed
    if form is LogFormat.JSON:
        assert printed.count("\n") == 1
        assert json.loads(printed)["exception"][0]["exc_type"] == "KeyError"


def test_a_person_reads_time_level_event_logger_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.HUMAN).warning("trying again", extra={"action": "retry", "delay": 0.5, "b": 1})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.split() == [
        line.split()[0],
        "[warning",
        "]",
        "trying",
        "again",
        "[worker.test]",
        "action=retry",
        "delay=0.5",
        "b=1",
    ]


def test_without_a_terminal_auto_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogFormat.AUTO).info("event", extra={"action": "a"})
    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("name", ["elastic_transport.transport", "aiokafka.conn", "httpx", "transformers", "asyncio"])
@pytest.mark.parametrize("level", ["debug", "info"])
def test_libraries_are_quiet_about_each_request(level: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(level=level)
    logging.getLogger(name).debug("POST /_bulk")
    logging.getLogger(name).info("POST /_bulk")
    assert lines(capsys) == []


def test_a_failed_request_is_told_by_the_worker_not_a_second_time_by_the_client(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure()
    logging.getLogger("elastic_transport.node_pool").warning("Node has failed for 1 times in a row")
    assert lines(capsys) == []


def test_what_libraries_warn_of_is_logged_with_a_time_and_an_action(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    logging.getLogger("aiokafka.consumer.fetcher").error("Unable to %s:\n%s", "fetch", "reset")
    (line,) = lines(capsys)
    assert line["event"] == "Unable to fetch: reset"
    assert line["action"] == "aiokafka_consumer_fetcher"


def test_the_level_also_holds_for_what_libraries_say(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="error")
    logging.getLogger("aiokafka.conn").warning("noise")
    logging.getLogger("worker.test").warning("noise")
    logging.getLogger("worker.test").error("trouble", extra={"action": "a"})
    assert [line["event"] for line in lines(capsys)] == ["trouble"]


def test_a_warning_becomes_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("use the new name", DeprecationWarning, stacklevel=1)
    (line,) = lines(capsys)
    assert "use the new name" in line["event"]
    assert line["level"] == "warning"


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.HUMAN])
def test_settings_that_are_logged_show_no_secret(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    source = {
        "name": "articles",
        "topics": ["t"],
        "id": ["id"],
        "tenant": "tenant",
        "fields": {"title": "title"},
        "embed": ["title"],
    }
    login = {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "somebody", "password": SECRET}
    settings = Settings.model_validate(
        {"sources": [source], "elasticsearch": {"api_key": SECRET}, "kafka": {"security": login}}
    )
    log = configure(form, level="debug")
    empty: dict[object, str] = {}
    log.info("settings %s", settings, extra={"action": "test", "settings": settings, "kafka": settings.kafka.security})
    try:
        empty[settings.elasticsearch.api_key]  # an error that repeats what it was given
    except KeyError:
        log.exception("failed", extra={"action": "test"})
    printed = capsys.readouterr().err
    assert "somebody" in printed
    assert SECRET not in printed


def test_a_library_with_handlers_of_its_own_is_made_to_log_as_all_do(capsys: pytest.CaptureFixture[str]) -> None:
    """transformers, huggingface_hub and torch bring theirs when they are imported, which is after `configure`."""
    configure()
    library = logging.getLogger("huggingface_hub")
    child = logging.getLogger("huggingface_hub.utils._http")
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    library.setLevel(logging.DEBUG)
    logs.adopt_libraries()
    child.warning("Retrying in 1s [Retry 1/5].")
    child.info("not told")
    (line,) = lines(capsys)
    assert (line["level"], line["event"]) == ("warning", "Retrying in 1s [Retry 1/5].")
    assert line["logger"] == "huggingface_hub.utils._http"
