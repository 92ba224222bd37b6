"""Every input that is known to hurt, and what becomes of it: tests run it, and docs/change-events.md prints it."""

from tests.unit.bad_inputs_events import EVENTS
from tests.unit.bad_inputs_keys import KEYS
from tests.unit.bad_inputs_parts import BadInput
from tests.unit.bad_inputs_rows import ROWS

ALL: tuple[BadInput, ...] = tuple(sorted((*EVENTS, *KEYS, *ROWS), key=lambda one: one.number))
