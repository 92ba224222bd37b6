"""Every reason to halt is explained to the person who finds it on a dashboard."""

import re
from pathlib import Path

from worker.errors import HaltReason

PAGE = Path(__file__).parents[2] / "docs" / "halts.md"


def test_the_table_has_a_row_for_every_reason_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(HaltReason)
