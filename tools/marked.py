"""A part of a page of the docs that is written by a tool, between two marks."""


def replaced(text: str, name: str, part: str) -> str:
    """Return the page with `part` between its marks `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no {begin} with an {end} behind it")
    return f"{before}{begin}\n{part}\n{end}{after}"


def row(*cells: str) -> str:
    """Return a row of a table; what a cell holds cannot end it."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
