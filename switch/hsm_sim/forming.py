"""A key from clear components, as officers type them at the box's own console; hosts never can.

Components are in memory for the one call. What leaves is the key as a token under the LMK, and its check
value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from switch.hsm.crypto.components import ComponentError, combined
from switch.hsm_sim.call import State
from switch.hsm_sim.errors import Refused
from switch.hsm_sim.key_commands import ALGORITHMS, COMPONENTS
from switch.hsm_sim.key_usage import BLOCK_USAGES
from switch.hsm_sim.slots import OpenKey

NOT_EXPORTABLE: Final = "N"


class Formed(NamedTuple):
    """The key under the LMK, and its check value (6 digits)."""

    token: str
    kcv: str

    def __repr__(self) -> str:
        return f"<Formed {self.kcv}>"


def form(state: State, usage: str, algorithm: str, components: Sequence[bytes]) -> Formed:
    """The exclusive or of 2 to 9 components under the default LMK. usage: of X9.143; algorithm: as in A0 (A1,
    T2…). Raises Refused, whose text holds no component."""
    algorithms, _, mode = BLOCK_USAGES.get(usage, ("", "", ""))
    letter, size = ALGORITHMS.get(algorithm, ("", 0))
    if not letter or letter not in algorithms:
        raise Refused("A7", f"a key of usage {usage} and algorithm {algorithm} is not formed here")
    if len(components) not in COMPONENTS:
        raise Refused("03", f"{COMPONENTS.start} to {COMPONENTS.stop - 1} components are needed")
    if any(len(component) != size for component in components):
        raise Refused("80", f"each component has {size} bytes")
    try:
        clear = combined(letter, components)
    except ComponentError as error:
        raise Refused("B5", str(error)) from None
    opened = OpenKey(clear, letter, usage, mode, "00", NOT_EXPORTABLE)
    slot = state.slots[state.slots.default]
    return Formed(state.slots.wrap_block(slot, opened, state.random).text, opened.kcv)
