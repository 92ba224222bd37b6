"""Commands on the settings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.parsing import OK, command, settings_of, usage
from worker.cli.printing import say
from worker.errors import OperatorError

if TYPE_CHECKING:
    from worker.cli.parsing import Commands


def add_config(commands: "Commands", *parents: argparse.ArgumentParser) -> None:
    """Declare `syncline config`."""
    text = "show the settings in effect, or the schema of all"
    group = commands.add_parser("config", help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
    group.set_defaults(command=lambda _: usage(group))
    actions = group.add_subparsers(title="commands", metavar="COMMAND")
    more = "File, environment and defaults together. Files that hold secrets are not read."
    text = "print the settings in effect as YAML, secrets masked"
    command(actions, "show", text, _config_show, *parents, more=more)
    more = "Editors check and complete a settings file with it."
    text = "print the JSON schema of the settings, each with its reason"
    schema = command(actions, "schema", text, _config_schema, more=more)
    schema.add_argument("--output", type=Path, metavar="FILE", help="write to FILE instead of standard output")


def _config_show(options: argparse.Namespace) -> int:
    from worker.settings.showing import show

    say(show(settings_of(options)), end="")
    return OK


def _config_schema(options: argparse.Namespace) -> int:
    import json

    from worker.settings.showing import schema

    text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    if options.output is None:
        say(text, end="")
        return OK
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"--output: cannot write {options.output}: {error.strerror}") from error
    return OK
