"""Runs the test functions of one module under MicroPython: `-m run_on_micropython MODULE`.

Prints `ok NAME` or `FAIL NAME` with the traceback for each, then `done OK FAILED`; ends with 1 if one failed.
"""

import gc
import sys

# The firmware collects after each few kilobytes, which would be most of what a test takes here. That its own
# step and heap are enough is held on the whole firmware (simulators.campaigns.firmware_budget).
GARBAGE_STEP_BYTES = 65536


def run(module_name):
    module = __import__(module_name)
    gc.threshold(GARBAGE_STEP_BYTES)
    passed = failed = 0
    for name in sorted(dir(module)):
        test = getattr(module, name)
        if not (name.startswith("test_") and callable(test)):
            continue
        gc.collect()
        try:
            test()
        except Exception as failure:
            failed += 1
            print("FAIL " + name)
            sys.print_exception(failure, sys.stdout)
        else:
            passed += 1
            print("ok " + name)
    print("done %d %d" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
