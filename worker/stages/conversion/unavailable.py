"""The placeholders that Debezium writes for a value that an update did not touch.

`unavailable.value.placeholder` is one text, or bytes as `hex:...`; the connector writes it in the form of the column.
"""

import base64
import functools
import hashlib
import uuid
from typing import Final, NamedTuple

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""Debezium's default."""

_HEX: Final = "hex:"


class UnavailableForms(NamedTuple):
    """One placeholder, as the columns of different types show it."""

    texts: frozenset[str]
    structures: tuple[object, ...]

    def match(self, value: object) -> bool:
        """Whether a column's value is the placeholder: it must never be indexed nor embedded."""
        if type(value) is str:
            return value in self.texts
        return isinstance(value, (list, dict)) and value in self.structures


def is_unavailable(value: object, placeholder: str = UNAVAILABLE) -> bool:
    """Whether a column's value is the placeholder in any of its forms."""
    return unavailable_forms(placeholder).match(value)


@functools.lru_cache(maxsize=64)
def unavailable_forms(placeholder: str) -> UnavailableForms:
    """Return every form of a placeholder."""
    octets = _octets(placeholder)
    text = octets.decode(errors="replace")
    coded = (base64.b64encode(octets).decode(), base64.urlsafe_b64encode(octets).decode(), octets.hex())
    structures = (
        [text],  # text[] and other arrays of texts
        *([form] for form in coded),  # bytea[]
        [str(uuid.UUID(bytes=hashlib.md5(octets, usedforsecurity=False).digest(), version=3))],  # uuid[]
        [placeholder],
        list(octets),  # int[], bigint[] and date[]
        {text: text},  # hstore
        {placeholder: placeholder},
    )
    return UnavailableForms(frozenset({text, placeholder, *coded, f'{{"{text}":"{text}"}}'}), structures)


def _octets(placeholder: str) -> bytes:
    if placeholder.startswith(_HEX):
        try:
            return bytes.fromhex(placeholder[len(_HEX) :])
        except ValueError:
            pass  # no hexadecimal digits follow: it is meant as it is written
    return placeholder.encode(errors="replace")
