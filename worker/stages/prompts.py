"""What a model wants before each text, chosen as `encode_document` and `encode_query` of sentence-transformers do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.errors import OperatorError

_OF_DOCUMENTS: Final = ("document", "passage", "corpus")
_OF_QUESTIONS: Final = ("query",)


@dataclass(frozen=True, slots=True)
class Prompts:
    """What goes before each document and each question; the second is None where it cannot be put there.

    `tells_documents`: a document's vector may be another one than that of the same text alone, or by plain `encode`.
    """

    document: str = ""
    question: str | None = ""
    tells_documents: bool = False

    def before_question(self) -> str:
        """Return what goes before a question.

        Raises:
            OperatorError: it cannot be put there.
        """
        if self.question is None:
            raise OperatorError(
                "embedding.model: the pooling of this model leaves its prompt for questions out, which is not "
                "supported: search by words only, or with a vector that encode_query of sentence-transformers has made"
            )
        return self.question


def prompts_of(declared: Mapping[str, str | None], default: str | None, parts: Iterable[object]) -> Prompts:
    """Return the prompts of a model: `declared` by name, the name of its `default` one.

    One of its `parts`, the pooling, may have `include_prompt`: whether a prompt is pooled as any other token.

    Raises:
        ValueError: documents have one that is not pooled.
    """
    pooled = all(getattr(part, "include_prompt", True) for part in parts)
    by_default = declared.get(default or "") or ""
    document = _first(_OF_DOCUMENTS, declared, by_default)
    question = _first(_OF_QUESTIONS, declared, by_default)
    if document and not pooled:
        raise ValueError("its pooling leaves its prompt for documents out, which is not supported")
    return Prompts(document, question if pooled or not question else None, bool(document or by_default))


def _first(names: Iterable[str], declared: Mapping[str, str | None], by_default: str) -> str:
    """An empty prompt counts as well: the library itself gives one to documents and questions of every model."""
    return next((declared[name] or "" for name in names if name in declared), by_default)
