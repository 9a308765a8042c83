"""What the switch needs from a hardware security module, as operations; adapters do them.

Nothing above this package is imported here, and no key leaves it: callers name keys, they don't hold them.
"""

from switch.hsm.static_keys import StaticKeyHsm, UnknownKey

__all__ = ["StaticKeyHsm", "UnknownKey"]
