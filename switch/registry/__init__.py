"""Merchants and terminals of an installation: who may send, changed while switches run.

The settings' [[terminals]] are the first of them; the registry adds to them, blocks and moves. Nothing here
knows messages, keys or sockets.
"""

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
    ChangeRefused,
    Draft,
    Merchant,
    Registry,
    RegistryError,
    TerminalRecord,
    in_force,
)

__all__ = [
    "Author",
    "Change",
    "ChangeRefused",
    "Draft",
    "Follower",
    "InForce",
    "Merchant",
    "Registry",
    "RegistryBroken",
    "RegistryError",
    "Session",
    "TerminalRecord",
    "changing",
    "history",
    "in_force",
    "read",
    "read_after",
    "registered_terminals",
]
