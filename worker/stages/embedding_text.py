"""The text of a document that is embedded, and its hash.

Built from document fields only, never from columns: so it can be built again from a stored document.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

_NORMALISATION: Final = "1"
"""Part of every hash: raised when the rules below change, so that no vector of an older text is reused."""


def embedding_text(fields: Mapping[str, object], names: Iterable[str]) -> str:
    """Return the values of the named fields, joined by spaces, with runs of white space made one space.

    Null values are left out; lists are joined. The result may be empty: such a document gets no vector.
    """
    words: list[str] = []
    for name in names:
        value = fields.get(name)
        values = value if isinstance(value, list) else [value]
        words.extend(word for item in values if item is not None for word in str(item).split())
    return " ".join(words)


def text_hash(text: str) -> str:
    """Return 32 hexadecimal digits that stand for the text and the way it was made."""
    return hashlib.blake2b(f"{_NORMALISATION}\n{text}".encode(), digest_size=16).hexdigest()
