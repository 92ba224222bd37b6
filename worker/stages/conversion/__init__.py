"""Column values to document values.

    by_schema   what the event's own schema says a value is: every logical type of Kafka Connect and Debezium
    declared    what the operator declared where there is no schema, and choices that no schema can make
    unavailable the placeholders of values that an event left out

The other modules hold the conversions, a family each. All take JSON values, return values fit for a document, and
raise ValueError for what does not fit; its message begins with the value.
"""

from worker.stages.conversion.declared import convert, converter, expected
from worker.stages.conversion.unavailable import UNAVAILABLE, is_unavailable, unavailable_forms

__all__ = ["UNAVAILABLE", "convert", "converter", "expected", "is_unavailable", "unavailable_forms"]
