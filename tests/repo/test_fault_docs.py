import ast
from pathlib import Path

import pytest

from tests.faults.matrix import MATRIX, Fault, Result
from tools.fault_docs import PAGE, page

TESTS = Path(__file__).parent.parent


def names_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_the_page_says_what_the_matrix_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run: make docs"


def test_the_matrix_has_all_48_rows() -> None:
    assert [fault.number for fault in MATRIX] == list(range(1, 49))


@pytest.mark.parametrize("fault", MATRIX, ids=lambda fault: str(fault.number))
def test_every_test_that_a_row_names_exists(fault: Fault) -> None:
    for name in fault.tests:
        file, _, test = name.partition("::")
        assert test in names_in(TESTS / file), name
    assert fault.tests or fault.note, "neither a test nor a reason"
    assert fault.result is Result.PASSES or fault.note, "what is missing?"


def test_every_test_of_a_fault_is_in_the_matrix() -> None:
    named = {name for fault in MATRIX for name in fault.tests}
    there = {f"faults/{file.name}::{test}" for file in (TESTS / "faults").glob("test_*.py") for test in names_in(file)}
    assert there <= named
