from functools import reduce
from importlib import import_module

import pytest

from tools.mutation_report import PAGE, described, listed

LISTED = list(listed(PAGE.read_text(encoding="utf-8")))


def test_no_mutant_is_justified_twice() -> None:
    assert len(set(LISTED)) == len(LISTED)


@pytest.mark.parametrize("function", sorted({line.partition(":")[0] for line in LISTED}))
def test_a_justified_mutant_is_of_a_function_that_there_is(function: str) -> None:
    module, *names = function.split(".")
    package = "worker.stages" if module in {"mapping", "tenants"} else "worker.stages.decode"
    assert callable(reduce(getattr, names, import_module(f"{package}.{module}")))


DIFF = """# worker.stages.mapping.x: survived
--- worker/stages/mapping.py
+++ worker/stages/mapping.py
@@ -1,3 +1,3 @@
 def f(a):
-    return a < 1
+    return a <= 1
"""


def test_a_mutant_is_named_by_its_function_and_its_changed_lines() -> None:
    assert described("worker.stages.decode.table.x_f__mutmut_7", DIFF) == "table.f: return a <= 1"
    assert described("worker.stages.mapping.xǁRowMapperǁ_f__mutmut_7", DIFF) == "mapping.RowMapper._f: return a <= 1"
    without = DIFF.replace("+    return a <= 1\n", "")
    assert described("worker.stages.mapping.x__f__mutmut_7", without) == "mapping._f: without return a < 1"
