"""The configuration file: YAML in, a plain mapping out, and never a piece of the file in a message.

The parser quotes the line at fault in its own messages. That line may be the one with the password.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from worker.errors import OperatorError


def read_config(path: Path) -> dict[str, Any]:
    """Return the content of a YAML configuration file; `{}` for an empty one.

    Raises:
        OperatorError: it cannot be read, is not YAML, names a key twice, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise OperatorError(f"{path}: cannot be read: {error.strerror}; give the right path with --config") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2024-13-01 is a ValueError
        raise OperatorError(f"{path}: {_told(error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise OperatorError(f"{path}: must hold groups such as 'kafka:' and 'sources:' at its top level")
    return content


class _DoubleKeyError(yaml.MarkedYAMLError):
    """A key that stands twice in one mapping."""


class _StrictLoader(yaml.SafeLoader):
    """YAML lets a later key silently replace an earlier one; here that is an error."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a list or mapping as a key", key_node.start_mark)
            if key in seen:
                raise _DoubleKeyError(
                    problem=f"the key {key!r} is given a second time", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _told(error: Exception) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "is not valid YAML: is it the right file?"
    place = f"line {error.problem_mark.line + 1}"
    if isinstance(error, _DoubleKeyError):
        return f"{place}: {error.problem}; keep one of them"
    place += f", column {error.problem_mark.column + 1}"
    return f"is not valid YAML at {place}: {_problem(error)}"


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's words where they are about the syntax; elsewhere they quote what stands in the file."""
    about_syntax = isinstance(error, (yaml.scanner.ScannerError, yaml.parser.ParserError))
    if about_syntax and error.problem and "tag" not in error.problem:
        return f"{error.problem}; check the indentation, and quote a value that holds one of : # @ % ! & *"
    return "this cannot be read here; quote a value that begins with one of ! & * ? or is no plain text"
