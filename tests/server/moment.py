"""The local time that test terminals stamp their requests with."""

from __future__ import annotations

from datetime import datetime

from switch.server.clock import BUSINESS_ZONE


def local_moment() -> datetime:
    """Now, in Asia/Tehran."""
    return datetime.now(BUSINESS_ZONE)
