"""What goes before documents and questions; that the library chooses alike is shown in the models' contract."""

from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from worker.errors import OperatorError
from worker.stages.packing import pieces, shared_start
from worker.stages.prompts import Prompts, prompts_of

SEEDED = {"query": "", "document": ""}
POOLING = SimpleNamespace(include_prompt=False)


@pytest.mark.parametrize(
    ("declared", "default", "expected"),
    [
        ({}, None, Prompts()),
        (SEEDED, None, Prompts()),
        ({"query": "q ", "document": "d "}, None, Prompts("d ", "q ", tells_documents=True)),
        ({"query": "q "}, None, Prompts("", "q ")),
        ({"passage": "p ", "corpus": "c "}, None, Prompts("p ", "", tells_documents=True)),
        ({"corpus": "c "}, None, Prompts("c ", "", tells_documents=True)),
        (SEEDED | {"passage": "p "}, None, Prompts()),
        ({"document": None, "passage": "p "}, None, Prompts()),
        ({"own": "o "}, "own", Prompts("o ", "o ", tells_documents=True)),
        (SEEDED | {"own": "o "}, "own", Prompts("", "", tells_documents=True)),
        (SEEDED | {"own": ""}, "own", Prompts()),
    ],
)
def test_the_first_name_that_is_there_counts(
    declared: Mapping[str, str | None], default: str | None, expected: Prompts
) -> None:
    assert prompts_of(declared, default, []) == expected


def test_what_the_pooling_leaves_out_is_refused_where_it_is_wanted() -> None:
    assert prompts_of(SEEDED, None, [POOLING]) == Prompts()
    with pytest.raises(ValueError, match="leaves its prompt for documents out"):
        prompts_of({"document": "d "}, None, [POOLING])
    for_questions = prompts_of({"query": "q ", "document": ""}, None, [POOLING])
    assert for_questions.document == ""
    with pytest.raises(OperatorError, match="leaves its prompt for questions out"):
        for_questions.before_question()


@pytest.mark.parametrize(
    ("texts", "start"),
    [
        ([[], [7], [8]], 0),
        ([[1, 2], [1, 2, 7], [1, 2, 8]], 2),
        ([[1, 2, 3], [1, 2, 7], [1, 2, 8, 9]], 2),  # 3 is a space, which goes together with a word
        ([[1], [1], [1]], 1),
    ],
)
def test_how_many_tokens_a_prompt_has(texts: list[list[int]], start: int) -> None:
    assert shared_start(texts) == start


def test_every_window_begins_as_the_text_does() -> None:
    assert pieces([1, 2, 3, 4, 5], 2, [range(2), range(2, 3)]) == [[1, 2, 3, 4], [1, 2, 5]]
    assert pieces([1], 2, [range(0)]) == [[1]]
