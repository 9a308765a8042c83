"""How every board tells: events as lines of JSON on its console, faults without their text."""

import json
import os
import sys


def emit(event):
    """One event as a line of JSON on standard output; lost when nobody reads there any more."""
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        if hasattr(os, "fsync"):
            sys.stdout.flush()  # MicroPython does not buffer, and its flush is an fsync
    except OSError:
        pass


def fault(error):
    """Kind and place of an exception, e.g. "KeyError at terminal/app.py, _resume"."""
    kind = type(error).__name__
    if hasattr(sys, "print_exception"):
        import io

        text = io.StringIO()
        sys.print_exception(error, text)
        places = [line for line in text.getvalue().split("\n") if line.startswith("  File ")]
        place = _place(places[-1]) if places else "?"
    else:
        from terminal.hal.cpython import place_of

        place = place_of(error)
    return kind + " at " + place


def _place(line):
    """Module and function of a line of a traceback; the firmware's modules stand there without what all of
    them share, and without line numbers."""
    module = line.split('"')[1]
    if not module.endswith(".py"):
        module = "terminal/" + module + ".py"
    return module + ", " + line.split(", in ")[-1]
