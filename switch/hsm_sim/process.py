"""What the process does for its own safety before it holds a key: no core files, no debugger of its user,
enough file descriptors. Nothing here replaces a tamper-proof box.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def harden() -> tuple[str, ...]:
    """Shut the process off from core files and tracers; returns what could not be done, in words."""
    failed = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not sys.platform.startswith("linux"):
        return ("other processes of this user can read its memory: not a Linux system",)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        failed.append("other processes of this user can read its memory: prctl failed")
    return tuple(failed)


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files towards `wanted` connections; returns how many fit."""
    spare = 64  # listening sockets, log, audit log, console, libraries
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + spare:
        soft = wanted + spare if hard == resource.RLIM_INFINITY else min(hard, wanted + spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft - spare)
