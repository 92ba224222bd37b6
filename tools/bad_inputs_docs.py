"""The table of bad inputs in `docs/change-events.md` from the tests' own data: `python -m tools.bad_inputs_docs`."""

from pathlib import Path
from typing import Final

from tests.unit.bad_inputs import ALL
from tests.unit.bad_inputs_parts import BadInput

PAGE: Final = Path(__file__).parent.parent / "docs" / "change-events.md"
_BEGIN, _END = "<!-- inputs:begin -->", "<!-- inputs:end -->"
_HEAD: Final = "| | input | outcome | reason code |\n|---|---|---|---|"


def page(text: str) -> str:
    """Return the page with the table of the present data between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, _, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{PAGE.name} has no {_BEGIN} with an {_END} behind it")
    rows = "\n".join(map(_row, ALL))
    return f"{before}{_BEGIN}\n{_HEAD}\n{rows}\n{_END}{after}"


def _row(one: BadInput) -> str:
    outcome = "; ".join([one.outcome, *(f"**not yet:** {reason}" for reason in one.not_yet)])
    codes = ", ".join(f"`{code}`" for code in one.codes)
    cells = (str(one.number), one.name, outcome, codes)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
