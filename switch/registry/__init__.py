"""Merchants and terminals of an installation: who may send, changed while switches run.

The settings' [[terminals]] are the first of them; the registry adds to them, blocks and moves. Nothing here
knows messages, keys or sockets.
"""

from switch.registry.counters import Told, counters_of, told_by
from switch.registry.counters import keep as keep_counters
from switch.registry.downloads import (
    DEFAULT_GROUP,
    LARGEST_SHARE,
    Bundle,
    Content,
    Group,
    Parameters,
    Rollout,
    keep_content,
    open_content,
)
from switch.registry.errors import ChangeRefused, RegistryError
from switch.registry.files import (
    Author,
    InForce,
    Session,
    changing,
    history,
    read,
    read_after,
    registered_terminals,
)
from switch.registry.follow import Follower
from switch.registry.lines import Change, RegistryBroken
from switch.registry.records import (
    Draft,
    Merchant,
    Registry,
    TerminalRecord,
    in_force,
)

__all__ = [
    "DEFAULT_GROUP",
    "LARGEST_SHARE",
    "Author",
    "Bundle",
    "Change",
    "ChangeRefused",
    "Content",
    "Draft",
    "Follower",
    "Group",
    "InForce",
    "Merchant",
    "Parameters",
    "Registry",
    "RegistryBroken",
    "RegistryError",
    "Rollout",
    "Session",
    "TerminalRecord",
    "Told",
    "changing",
    "counters_of",
    "history",
    "in_force",
    "keep_content",
    "keep_counters",
    "open_content",
    "read",
    "read_after",
    "registered_terminals",
    "told_by",
]
