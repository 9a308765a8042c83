"""A box with the public test LMKs, asked as a host asks: command and body in, answer out."""

from __future__ import annotations

from switch.hsm.crypto.key_blocks import Header
from switch.hsm.crypto.master_keys import (
    TEST_AES_BLOCK_KEY,
    TEST_TDES_BLOCK_KEY,
    TEST_VARIANT_PAIRS,
    BlockMasterKey,
    VariantMasterKeys,
)
from switch.hsm_sim.audit import AuditEvent
from switch.hsm_sim.call import Limits, State
from switch.hsm_sim.framing import Message
from switch.hsm_sim.machine import Machine
from switch.hsm_sim.slots import TEST_SLOTS, Slots, public_slot

HEADER = b"7Q\x0042"  # nothing in it may matter
VARIANT = VariantMasterKeys(TEST_VARIANT_PAIRS)
TDES = BlockMasterKey(TEST_TDES_BLOCK_KEY)
AES = BlockMasterKey(TEST_AES_BLOCK_KEY)
BDK = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")  # of X9.24-3's examples
ODD = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")  # odd parity


class Box:
    """A machine, its clock and what it recorded."""

    def __init__(self, *, authorised: bool = False, allowed_formats: tuple[str, ...] = ()) -> None:
        self.now = 1000.0
        self.recorded: list[AuditEvent] = []
        slots = Slots([public_slot(identifier, kind) for identifier, kind in TEST_SLOTS.items()])
        self.state = State(slots, Limits(frozenset(allowed_formats)), clock=lambda: self.now)
        self.machine = Machine(self.state, self.recorded.append)
        if authorised:
            self.state.authorised.authorise(["*"], ("one", "two"), 60, self.now)

    def ask(self, request: str | bytes, default: str | None = None) -> str:
        """The answer from its command on, as text."""
        data = request.encode("latin-1") if isinstance(request, str) else request
        framed, _ = self.machine.answer(Message(HEADER, data[:2], data[2:]), default)
        assert int.from_bytes(framed[:2]) == len(framed) - 2
        assert framed[2 : 2 + len(HEADER)] == HEADER
        return framed[2 + len(HEADER) :].decode("latin-1")

    def code(self, request: str | bytes) -> str:
        """Only the error code."""
        return self.ask(request)[2:4]


def aes_token(
    key: bytes, usage: str, mode: str = "N", *, algorithm: str = "A", export: str = "E", lmk: str = "02"
) -> str:
    return AES.wrap(Header("1", usage, algorithm, mode, "00", export, reserved=lmk), key)


def tdes_token(key: bytes, usage: str, mode: str = "N", *, export: str = "E", lmk: str = "01") -> str:
    return TDES.wrap(Header("0", usage, "T", mode, "00", export, reserved=lmk), key)
