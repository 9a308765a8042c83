"""The firmware of a Vafa terminal: MicroPython, self-contained.

It imports nothing of the other packages and runs unchanged on MicroPython and CPython; what a board can do
is reached through `terminal.hal` only.
"""

import gc
import sys

# Garbage is collected in small steps from the first import on. Left to itself, MicroPython waits until the
# heap is full; what stays then lies scattered, and no hole is large enough for a frame or a receipt. On a
# 64-bit machine everything is twice as large, so the step is too.
GARBAGE_STEP_BYTES = 8192 if sys.maxsize >> 32 else 4096

if hasattr(gc, "threshold"):
    gc.threshold(GARBAGE_STEP_BYTES)


def forget(name):
    """Give back the memory of a module, by its full name, that was needed for a moment only."""
    package, _, leaf = name.rpartition(".")
    if sys.modules.pop(name, None) is not None and hasattr(sys.modules[package], leaf):
        delattr(sys.modules[package], leaf)


collect = gc.collect
