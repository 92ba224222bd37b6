"""Geometries: well-known binary to well-known text, which Elasticsearch's geo and cartesian shapes take."""

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping
from typing import Final

from worker.stages.decode.json_values import shown

_LIMIT: Final = 60
_MOST_NESTED: Final = 16
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
"""PostGIS' flags; the ISO standard adds 1000, 2000 or 3000 to the type instead."""
_POINT, _LINE, _POLYGON, _POINTS, _LINES, _POLYGONS, _COLLECTION = range(1, 8)
_NAMES: Final = {
    _POINT: "POINT",
    _LINE: "LINESTRING",
    _POLYGON: "POLYGON",
    _POINTS: "MULTIPOINT",
    _LINES: "MULTILINESTRING",
    _POLYGONS: "MULTIPOLYGON",
    _COLLECTION: "GEOMETRYCOLLECTION",
}
_CURVES: Final = {8: "CIRCULARSTRING", 9: "COMPOUNDCURVE", 10: "CURVEPOLYGON", 11: "MULTICURVE", 12: "MULTISURFACE"}
_SURFACES: Final = {15: "POLYHEDRALSURFACE", 16: "TIN", 17: "TRIANGLE"}


class _NoShapeError(Exception):
    """A geometry that is one, of a kind that Elasticsearch does not know; the message goes on from "it holds a"."""


def point(value: object) -> str:
    """Return the text of Debezium's `{"x": 1.0, "y": 2.0, "wkb": ..., "srid": ...}`."""
    if isinstance(value, Mapping):
        x, y = value.get("x"), value.get("y")
        if _is_coordinate(x) and _is_coordinate(y):
            return f"POINT ({_written(x)} {_written(y)})"
    raise ValueError(f"{shown(value, _LIMIT)} is not a point with finite x and y")


def geometry(value: object) -> str:
    """Return the text of Debezium's `{"wkb": base64, "srid": ...}`; the reference system is left out."""
    wkb = value.get("wkb") if isinstance(value, Mapping) else None
    try:
        octets = base64.b64decode(wkb, validate=True) if isinstance(wkb, str) else b""
        reader = _Reader(octets)
        return reader.shape(0)
    except _NoShapeError as error:
        raise ValueError(f"{shown(value, _LIMIT)} holds a {error}") from None
    except (binascii.Error, struct.error, ValueError, KeyError):
        raise ValueError(f"{shown(value, _LIMIT)} is not a geometry in well-known binary") from None


def _is_coordinate(value: object) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _written(value: object) -> str:
    return repr(value).removesuffix(".0")


def _refuse_without_shape(kind: int) -> None:
    if kind in _CURVES:
        instead = "lines or polygons, in PostGIS what ST_CurveToLine returns"
        raise _NoShapeError(f"{_CURVES[kind]}, for which Elasticsearch has no shape: write {instead}")
    if kind in _SURFACES:
        raise _NoShapeError(f"{_SURFACES[kind]}, for which Elasticsearch has no shape: write polygons")


class _Reader:
    """Reads one geometry from its bytes; `M` values, which Elasticsearch has no use for, are left out."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def shape(self, depth: int) -> str:
        """Return the shape that begins here, with its name."""
        name, body = self._shape(depth)
        return f"{name} {body}"

    def _shape(self, depth: int) -> tuple[str, str]:
        if depth > _MOST_NESTED:
            raise ValueError("nested too deep")
        order = "<" if self._take("<B") else ">"
        code = self._take(f"{order}I")
        iso, kind = divmod(code & 0xFFFF, 1000)
        has_z, has_m = bool(code & _Z) or iso in (1, 3), bool(code & _M) or iso in (2, 3)
        if code & _SRID:
            self._take(f"{order}I")
        _refuse_without_shape(kind)
        return _NAMES[kind], self._body(kind, f"{order}{2 + has_z + has_m}d", 2 + has_z, depth)

    def _body(self, kind: int, form: str, kept: int, depth: int) -> str:
        order = form[0]
        if kind == _POINT:
            return self._point(form, kept, bare=False)
        if kind == _LINE:
            return self._several(order, lambda: self._point(form, kept, bare=True))
        if kind == _POLYGON:
            return self._several(order, lambda: self._several(order, lambda: self._point(form, kept, bare=True)))
        if kind == _COLLECTION:
            return self._several(order, lambda: self.shape(depth + 1))
        return self._several(order, lambda: self._shape(depth + 1)[1])

    def _several(self, order: str, one: Callable[[], str]) -> str:
        count = self._take(f"{order}I")
        if not count:
            return "EMPTY"
        # No count is believed: reading goes on only as far as there are bytes.
        return f"({', '.join([one() for _ in range(count)])})"

    def _point(self, form: str, kept: int, *, bare: bool) -> str:
        numbers = struct.unpack_from(form, self._octets, self._at)
        self._at += struct.calcsize(form)
        if all(map(math.isnan, numbers)) and not bare:
            return "EMPTY"
        if not all(map(math.isfinite, numbers[:kept])):
            raise ValueError("a coordinate is not finite")
        text = " ".join(map(_written, numbers[:kept]))
        return text if bare else f"({text})"

    def _take(self, form: str) -> int:
        number: int = struct.unpack_from(form, self._octets, self._at)[0]
        self._at += struct.calcsize(form)
        return number
