"""Contenders measured slice by slice, in turns: how the benchmarks of calls take their time.

A slice is some milliseconds of one contender; they take turns, so that a busy machine troubles all alike, and
a ratio compares the medians of one run. Time is the thread's processor time: waiting for a processor counts
for nobody.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

SLICE_SECONDS = 0.004

Contender = tuple[str, str, Callable[[], object]]  # what it does, who (or on what), one call


def asked_for(description: str | None, usual: int) -> int:
    """How many slices the command line asks for."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=usual)
    slices: int = parser.parse_args().slices
    return slices


def measure(calls: list[Contender], slices: int) -> dict[tuple[str, str], float]:
    """Median microseconds of one call, by what and who."""
    counts = [_calls_in_a_slice(call) for _what, _who, call in calls]
    seen: dict[tuple[str, str], list[float]] = {(what, who): [] for what, who, _call in calls}
    for _ in range(slices):
        for (what, who, call), count in zip(calls, counts, strict=True):
            seen[what, who].append(_seconds(call, count) / count * 1e6)
    return {key: statistics.median(values) for key, values in seen.items()}


def _calls_in_a_slice(call: Callable[[], object]) -> int:
    count = 1
    while (spent := _seconds(call, count)) < SLICE_SECONDS:
        count *= 2 if spent < SLICE_SECONDS / 4 else 1
        count += 1
    return count


def _seconds(call: Callable[[], object], count: int) -> float:
    start = time.thread_time()
    for _ in itertools.repeat(None, count):
        call()
    return time.thread_time() - start
