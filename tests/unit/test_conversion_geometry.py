"""Well-known binary, built here by hand, to the text that Elasticsearch reads."""

import base64
import struct
from collections.abc import Iterable

import pytest

from worker.stages.conversion.geometry import geometry

Z, M, SRID = 0x80000000, 0x40000000, 0x20000000


def head(code: int, *numbers: int) -> bytes:
    return struct.pack(f"<BI{len(numbers)}I", 1, code, *numbers)


def coordinates(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def polygon(*rings: Iterable[float]) -> bytes:
    parts = [struct.pack("<I", len(list(ring)) // 2) + coordinates(*ring) for ring in rings]
    return head(3, len(rings)) + b"".join(parts)


POINT = head(1) + coordinates(1, 2)
SQUARE = (0, 0, 1, 0, 1, 1, 0, 0)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (POINT, "POINT (1 2)"),
        (struct.pack(">BI2d", 0, 1, 1.5, -2), "POINT (1.5 -2)"),
        (head(1 | SRID, 4326) + coordinates(1, 2), "POINT (1 2)"),
        (head(1 | Z) + coordinates(1, 2, 3), "POINT (1 2 3)"),
        (head(1001) + coordinates(1, 2, 3), "POINT (1 2 3)"),
        (head(1 | M) + coordinates(1, 2, 9), "POINT (1 2)"),
        (head(2001) + coordinates(1, 2, 9), "POINT (1 2)"),
        (head(3001) + coordinates(1, 2, 3, 9), "POINT (1 2 3)"),
        (head(1 | Z | M | SRID, 4326) + coordinates(1, 2, 3, 9), "POINT (1 2 3)"),
        (head(1) + coordinates(float("nan"), float("nan")), "POINT EMPTY"),
        (head(2, 0), "LINESTRING EMPTY"),
        (polygon(SQUARE, SQUARE), "POLYGON ((0 0, 1 0, 1 1, 0 0), (0 0, 1 0, 1 1, 0 0))"),
        (head(4, 2) + POINT + POINT, "MULTIPOINT ((1 2), (1 2))"),
        (head(5, 1) + head(2, 2) + coordinates(1, 2, 3, 4), "MULTILINESTRING ((1 2, 3 4))"),
        (head(6, 1) + polygon(SQUARE), "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))"),
        (head(7, 2) + POINT + head(2, 0), "GEOMETRYCOLLECTION (POINT (1 2), LINESTRING EMPTY)"),
    ],
)
def test_binary_becomes_text(octets: bytes, text: str) -> None:
    assert geometry({"wkb": base64.b64encode(octets).decode(), "srid": None}) == text


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        POINT[:-1],
        head(8),
        head(2, 2**32 - 1),
        head(7, 1) * 1000,
        head(1) + coordinates(float("inf"), 1),
        head(2, 1) + coordinates(float("nan"), float("nan")),
    ],
    ids=["nothing", "cut off", "unknown", "count beyond the bytes", "nested too deep", "infinite", "nowhere in a line"],
)
def test_what_is_no_geometry_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match="is not a geometry in well-known binary"):
        geometry({"wkb": base64.b64encode(octets).decode(), "srid": None})
