"""The fault matrix in `docs/reliability.md` from the tests' own data: `python -m tools.fault_docs`."""

from pathlib import Path
from typing import Final

from tests.faults.matrix import MATRIX, Fault
from tools.marked import replaced, row

PAGE: Final = Path(__file__).parent.parent / "docs" / "reliability.md"
_HEAD: Final = "| | fault | what is observed | result | tests |\n|---|---|---|---|---|"


def page(text: str) -> str:
    """Return the page with the table of the present data between its marks.

    Raises:
        ValueError: the page has no such marks.
    """
    notes = (f"- **{fault.number}**: {fault.note}" for fault in MATRIX if fault.note)
    table = [_HEAD, *map(_row, MATRIX), "", "Remarks, by the number of the row:", "", *notes]
    return replaced(text, "faults", "\n".join(table))


def _row(fault: Fault) -> str:
    tests = "<br>".join(f"`{test.removeprefix('faults/')}`" for test in fault.tests)
    result = f"{fault.result}*" if fault.note else str(fault.result)
    return row(str(fault.number), fault.name, fault.observed, result, tests)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
