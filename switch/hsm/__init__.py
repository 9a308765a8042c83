"""What the switch needs from a hardware security module, as operations; adapters do them.

Nothing above this package is imported here, and no key leaves it: callers name keys, they don't hold them.
The operations and their types are in `port`; Pkcs11Hsm, which needs an optional package, in `pkcs11`.
"""

from switch.hsm.in_process import InProcessHsm
from switch.hsm.key_store import KeyNotFound, KeyReused, KeyState, KeyStore, KeyStoreError, KeyVersion
from switch.hsm.payshield import PayShieldHsm

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
