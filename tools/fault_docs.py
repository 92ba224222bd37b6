"""The fault matrix in `docs/reliability.md` from the tests' own data: `python -m tools.fault_docs`."""

from pathlib import Path
from typing import Final

from tests.faults.matrix import MATRIX, Fault

PAGE: Final = Path(__file__).parent.parent / "docs" / "reliability.md"
_BEGIN, _END = "<!-- faults:begin -->", "<!-- faults:end -->"
_HEAD: Final = "| | fault | what is observed | result | tests |\n|---|---|---|---|---|"


def page(text: str) -> str:
    """Return the page with the table of the present data between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    before, _, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"{PAGE.name} has no {_BEGIN} with an {_END} behind it")
    rows = "\n".join(map(_row, MATRIX))
    notes = "\n".join(f"- **{fault.number}**: {fault.note}" for fault in MATRIX if fault.note)
    return f"{before}{_BEGIN}\n{_HEAD}\n{rows}\n\nRemarks, by the number of the row:\n\n{notes}\n{_END}{after}"


def _row(fault: Fault) -> str:
    tests = "<br>".join(f"`{test.removeprefix('faults/')}`" for test in fault.tests)
    result = f"{fault.result}*" if fault.note else str(fault.result)
    cells = (str(fault.number), fault.name, fault.observed, result, tests)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
