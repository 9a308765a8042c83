"""Whether long sweeps are made whole. `make test` takes every kind once or a seeded sample of them.

Never leave out a kind of thing by it, only repetitions.
"""

from __future__ import annotations

import os

WHOLE = os.environ.get("HYPOTHESIS_PROFILE") == "explore"
