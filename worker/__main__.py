"""`python -m worker` is `syncline`."""

import sys

from worker.cli import main

sys.exit(main())
