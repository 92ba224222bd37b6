"""`docs/metrics.md` from the metrics themselves: `python -m tools.metrics_docs` writes it."""

from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from worker.metrics import Metrics

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_INTRODUCTION = """# Metrics

Generated from `worker/metrics.py` by `make docs`. Served at `/metrics` in Prometheus' text format. Beside them stand
the usual ones of a process, such as `process_resident_memory_bytes` and `process_cpu_seconds_total`.

| metric | type | labels | what it tells |
|---|---|---|---|
"""


def page() -> str:
    """Return the page: one row a metric."""
    rows = []
    for metric in vars(Metrics()).values():
        if isinstance(metric, (Counter, Gauge, Histogram)):
            name = metric._name + ("_total" if isinstance(metric, Counter) else "")  # noqa: SLF001 - no public way
            labels = ", ".join(metric._labelnames) or "-"  # noqa: SLF001
            rows.append(f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |")  # noqa: SLF001
    return _INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
