"""What the switch needs from a hardware security module, as operations; adapters do them.

Nothing above this package is imported here, and no key leaves it: callers name keys, they don't hold them.
"""

from switch.hsm.in_process import InProcessHsm
from switch.hsm.port import MAC_BYTES, Hsm, UnknownKey

__all__ = ["MAC_BYTES", "Hsm", "InProcessHsm", "UnknownKey"]
