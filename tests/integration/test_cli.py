"""The command line as a process: what it prints, how it exits, and what it does not load for that."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker import __version__

ROOT = Path(__file__).parent.parent.parent
MINIMAL = ROOT / "schemas" / "examples" / "minimal.yaml"
COMMANDS = [
    "",
    "run",
    "check",
    "apply",
    "search",
    "dead-letters",
    "dead-letters list",
    "dead-letters show",
    "dead-letters replay",
    "purge",
    "config",
    "config show",
    "config schema",
    "demo",
]
HEAVY = ["torch", "sentence_transformers", "transformers", "aiokafka", "elasticsearch", "pydantic", "rich", "numpy"]


def environment(**variables: str) -> dict[str, str]:
    # Unbuffered output would hide what happens when the buffer is written at the end.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SYNCLINE_") and name != "PYTHONUNBUFFERED"
    }
    return {**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **variables}


def syncline(*arguments: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text_of_80_columns(command: str) -> None:
    done = syncline(*command.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {' '.join(['syncline', *command.split()])} ")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


def test_the_first_help_names_every_command_where_to_start_and_the_exit_codes() -> None:
    printed = syncline("--help").stdout
    for word in (
        "run",
        "check",
        "apply",
        "search",
        "dead-letters",
        "purge",
        "config",
        "demo",
        "SYNCLINE_CONFIG",
        "exit codes",
        "syncline demo",
    ):
        assert word in printed


def test_the_version_is_the_packages() -> None:
    done = syncline("--version")
    assert (done.returncode, done.stdout) == (0, f"syncline {__version__}\n")


def test_help_loads_nothing_heavy() -> None:
    """Nobody should wait for torch to read a help text."""
    program = (
        "import sys, worker.cli\n"
        "code = worker.cli.main(['--help'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    print(f"\nsyncline --help took {time.monotonic() - started:.2f} s")  # noqa: T201 - a figure to look at with -rP
    assert (done.returncode, done.stderr) == (0, "[]\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "invalid choice: 'rnu'"),
        (["config", "print"], "invalid choice: 'print'"),
        (["run", "--confg", "x"], "unrecognized arguments: --confg"),
        (["run", "--conf", "x"], "unrecognized arguments: --conf"),
        (["search", "words"], "required: --tenant"),
        (["search", "--tenant", "a"], "required: WORD"),
        (["search", "words", "--tenant", "a", "--mode", "magic"], "invalid choice: 'magic'"),
        (["demo", "--events", "many"], "invalid int value: 'many'"),
        (["check", "--records", "0"], "give a number from 1 to 100000"),
        (["check", "--records", "many"], "give a number from 1 to 100000"),
        (["dead-letters", "lsit"], "invalid choice: 'lsit'"),
        (["dead-letters", "list", "--reason", "tenant_mising"], "did you mean 'tenant_missing'"),
        (["dead-letters", "show"], "required: POSITION"),
        (
            ["dead-letters", "list", "--limit", "10001"],
            "--limit: '10001' is out of range: give a number from 0 to 10000",
        ),
        (["dead-letters", "list", "--config", str(MINIMAL), "--since", "soon"], "--since: 'soon' is no time"),
        (
            ["dead-letters", "replay", "--config", str(MINIMAL), "--since", "2026"],
            "give a duration with its unit, such",
        ),
        (["dead-letters", "show", "7", "--config", str(MINIMAL)], "'7' is no position: give PARTITION:OFFSET"),
        (["dead-letters", "show", "0:7", "--config", str(MINIMAL)], "kafka.dead_letter_topic is not set"),
        (["dead-letters", "replay", "--config", str(MINIMAL)], "kafka.dead_letter_topic is not set"),
        (["purge", "--batch", "0"], "--batch: '0' is out of range: give a number from 1 to 10000"),
    ],
)
def test_arguments_that_make_no_sense_are_said_and_exit_with_2(arguments: list[str], sentence: str) -> None:
    done = syncline(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["config"], ["dead-letters"]])
def test_a_command_line_that_stops_too_early_shows_the_help_and_exits_with_2(arguments: list[str]) -> None:
    done = syncline(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "commands:" in done.stderr


def test_config_show_prints_what_is_in_effect_and_masks_secrets() -> None:
    done = syncline(
        "config",
        "show",
        "--config",
        str(MINIMAL),
        SYNCLINE_KAFKA__GROUP_ID="blue",
        SYNCLINE_ELASTICSEARCH__API_KEY="MARK",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "group_id: blue" in done.stdout
    assert "MARK" not in done.stdout
    assert "api_key: '**********'" in done.stdout


def test_config_show_reads_no_secrets_file() -> None:
    done = syncline("config", "show", "--config", str(MINIMAL), SYNCLINE_ELASTICSEARCH__API_KEY_FILE="/not/there")
    assert done.returncode == 0
    assert "api_key_file: /not/there" in done.stdout


def test_config_schema_writes_what_it_prints(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    assert syncline("config", "schema", "--output", str(file)).stdout == ""
    assert syncline("config", "schema").stdout == file.read_text()


def test_a_schema_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    done = syncline("config", "schema", "--output", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"syncline: --output: cannot write {tmp_path}: Is a directory\n"


@pytest.mark.parametrize("arguments", [["--help"], ["config", "schema"], ["config", "show", "--config", str(MINIMAL)]])
def test_a_reader_that_goes_away_is_no_fault(arguments: list[str]) -> None:
    """`syncline config schema | head -1`: no traceback, and no exit code that stops a script."""
    with closed_pipe() as writing:
        assert syncline_into(writing, *arguments) == (0, "")


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_reader_that_goes_away_changes_no_exit_code(json: list[str], tmp_path: Path) -> None:
    """`syncline check | head -1` under pipefail: a script goes by what was found."""
    file = tmp_path / "syncline.yaml"
    nowhere = "elasticsearch: {hosts: [http://127.0.0.1:1]}\nkafka: {bootstrap_servers: [127.0.0.1:1]}\n"
    file.write_text(MINIMAL.read_text() + nowhere)
    with closed_pipe() as writing:
        assert syncline_into(writing, "check", *json, "--config", str(file)) == (2, "")


@pytest.mark.parametrize("arguments", [["--help"], ["config", "schema"]])
def test_an_output_that_cannot_be_written_is_one_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, told = syncline_into(full.fileno(), *arguments)
    assert (code, told) == (1, "syncline: standard output cannot be written: No space left on device\n")


@contextmanager
def closed_pipe() -> Iterator[int]:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield writing
    finally:
        os.close(writing)


def syncline_into(output: int, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run a command with its standard output there; return its exit code and what it says beside it."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(("process_id", "code"), [(1, 128 + signal.SIGTERM), (4711, -signal.SIGTERM)])
def test_as_process_1_a_command_ends_at_sigterm_which_the_kernel_would_not_do(process_id: int, code: int) -> None:
    """The container itself is tried in tests/image."""
    program = f"""
import os, signal
myself, os.getpid = os.getpid(), lambda: {process_id}
from worker.cli import main
main(["config", "schema", "--output", "/dev/null"])
os.kill(myself, signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", program], env=environment(), timeout=60, check=False)
    assert done.returncode == code
