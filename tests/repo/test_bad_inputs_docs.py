from tests.unit.bad_inputs import ALL
from tools.bad_inputs_docs import PAGE, page


def test_the_table_of_bad_inputs_says_what_their_tests_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run: make docs"


def test_every_input_has_a_row_of_four_cells() -> None:
    rows = [line for line in page(PAGE.read_text(encoding="utf-8")).splitlines() if line.startswith("| ")]
    for one in ALL:
        row = next(row for row in rows if row.startswith(f"| {one.number} | "))
        assert row.replace("\\|", "").count("|") == 5
