"""What the switch needs from a hardware security module, as operations; adapters do them.

Nothing above this package is imported here, and no key leaves it: callers name keys, they don't hold them.
The operations and their types are in `port`; Pkcs11Hsm, which needs an optional package, in `pkcs11`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from switch.hsm.key_store import KeyNotFound, KeyReused, KeyState, KeyStore, KeyStoreError, KeyVersion

if TYPE_CHECKING:
    from switch.hsm.in_process import InProcessHsm
    from switch.hsm.payshield import PayShieldHsm

# An adapter is imported when it is asked for: most commands need a key's name or a cipher, and no connection.
_ADAPTERS = {"InProcessHsm": "switch.hsm.in_process", "PayShieldHsm": "switch.hsm.payshield"}

__all__ = [
    "InProcessHsm",
    "KeyNotFound",
    "KeyReused",
    "KeyState",
    "KeyStore",
    "KeyStoreError",
    "KeyVersion",
    "PayShieldHsm",
]


def __getattr__(name: str) -> Any:
    """An adapter by its name."""
    if name not in _ADAPTERS:
        raise AttributeError(name)
    return getattr(import_module(_ADAPTERS[name]), name)
