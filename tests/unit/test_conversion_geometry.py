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
        head(99),
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


ARC = head(8, 3) + coordinates(0, 0, 1, 1, 2, 0)


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (ARC, "holds a CIRCULARSTRING"),
        (head(8 | Z | SRID, 4326, 0), "holds a CIRCULARSTRING"),
        (head(1008, 0), "holds a CIRCULARSTRING"),
        (head(9, 1) + ARC, "holds a COMPOUNDCURVE"),
        (head(10, 1) + ARC, "holds a CURVEPOLYGON"),
        (head(11, 1) + ARC, "holds a MULTICURVE"),
        (head(12, 1) + head(10, 1) + ARC, "holds a MULTISURFACE"),
        (head(7, 2) + POINT + ARC, "holds a CIRCULARSTRING"),
        (head(15, 0), "holds a POLYHEDRALSURFACE"),
        (head(16, 0), "holds a TIN"),
        (head(17, 0), "holds a TRIANGLE"),
    ],
)
def test_a_geometry_that_elasticsearch_has_no_shape_for_is_told_by_its_name(octets: bytes, told: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{{'srid': None, 'wkb': .* {told}, for which Elasticsearch has no shape: "
    ) as refusal:
        geometry({"wkb": base64.b64encode(octets).decode(), "srid": None})
    assert ("ST_CurveToLine" in str(refusal.value)) == any(name in told for name in ("CURVE", "CIRCULAR", "MULTIS"))
