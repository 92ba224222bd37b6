"""The table of bad inputs in `docs/change-events.md` from the tests' own data: `python -m tools.bad_inputs_docs`."""

from pathlib import Path
from typing import Final

from tests.unit.bad_inputs import ALL
from tests.unit.bad_inputs_parts import BadInput
from tools.marked import replaced, row

PAGE: Final = Path(__file__).parent.parent / "docs" / "change-events.md"
_HEAD: Final = "| | input | outcome | reason code |\n|---|---|---|---|"


def page(text: str) -> str:
    """Return the page with the table of the present data between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    return replaced(text, "inputs", "\n".join([_HEAD, *map(_row, ALL)]))


def _row(one: BadInput) -> str:
    outcome = "; ".join([one.outcome, *(f"**not yet:** {reason}" for reason in one.not_yet)])
    codes = ", ".join(f"`{code}`" for code in one.codes)
    return row(str(one.number), one.name, outcome, codes)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
