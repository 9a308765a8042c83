"""The PKCS#11 adapter beyond the contract, on a real SoftHSM2 token: what stays inside, what goes wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pkcs11
import pytest

from switch.hsm.crypto import dukpt_aes
from switch.hsm.crypto.dukpt_aes import Usage
from switch.hsm.crypto.macs import cmac
from switch.hsm.pkcs11 import Pkcs11Hsm
from switch.hsm.port import Direction, Fault, HsmError, KeyAlgorithm, KeyUse
from tests.hsm import softhsm
from tests.hsm.boxes import Box

SERIAL = bytes.fromhex("123456789012345600000001")
on_the_token = pytest.mark.parametrize("box", ["pkcs11"], indirect=True)


@on_the_token
@pytest.mark.parametrize("use", [KeyUse.MAC, KeyUse.MAC_HMAC, KeyUse.BASE_DERIVATION])
def test_a_made_key_can_not_be_read_and_does_one_thing(box: Box, use: KeyUse) -> None:
    algorithm = KeyAlgorithm.HMAC_256 if use is KeyUse.MAC_HMAC else KeyAlgorithm.AES_128
    key = box.run(box.hsm.generate_key(use, algorithm))
    token = pkcs11.lib(softhsm.library()).get_token(token_label=softhsm.LABEL)
    with token.open() as session:
        (made,) = session.get_objects({pkcs11.Attribute.ID: bytes.fromhex(key.reference)})
        with pytest.raises(pkcs11.AttributeSensitive):
            made[pkcs11.Attribute.VALUE]
        attribute = pkcs11.Attribute
        assert [made[one] for one in (attribute.SENSITIVE, attribute.EXTRACTABLE, attribute.PRIVATE)] == [
            True,
            False,
            True,
        ]
        allowed = {
            one
            for one in (
                attribute.SIGN,
                attribute.DERIVE,
                attribute.ENCRYPT,
                attribute.DECRYPT,
                attribute.WRAP,
                attribute.UNWRAP,
            )
            if made[one]
        }
    assert allowed == {attribute.DERIVE if use is KeyUse.BASE_DERIVATION else attribute.SIGN}


@on_the_token
def test_a_transaction_leaves_no_object_on_the_token(box: Box) -> None:
    base = box.run(box.hsm.generate_key(KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128))
    token = pkcs11.lib(softhsm.library()).get_token(token_label=softhsm.LABEL)
    with token.open() as session:
        stored = {pkcs11.Attribute.TOKEN: True}
        before = len(list(session.get_objects(stored)))
        for counter in range(1, 20):
            serial = SERIAL[:8] + counter.to_bytes(4)
            box.run(box.hsm.dukpt_mac_generate(base, serial, b"data", Direction.REQUEST))
        assert len(list(session.get_objects(stored))) == before
        assert len(list(session.get_objects({pkcs11.Attribute.TOKEN: False}))) < 2000


@on_the_token
def test_many_calls_at_once_get_their_own_answers(box: Box) -> None:
    key = box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))

    async def all_of_them() -> tuple[list[bytes], list[bytes]]:
        data = [b"%d" % number for number in range(100)]
        together = await asyncio.gather(*(box.hsm.mac_generate(key, one) for one in data))
        return list(together), [await box.hsm.mac_generate(key, one) for one in data]

    together, one_by_one = box.run(all_of_them())
    assert together == one_by_one
    assert len(set(together)) == 100


@on_the_token
def test_sessions_at_once_derive_for_many_terminals_as_one_alone_does(box: Box) -> None:
    base_key = bytes(range(16))
    base = box.key(KeyUse.BASE_DERIVATION, base_key)

    async def transactions(counter: int) -> None:
        async def one(terminal: int) -> None:
            serial = SERIAL[:4] + terminal.to_bytes(4) + counter.to_bytes(4)
            initial = dukpt_aes.initial_key(base_key, serial[:8])
            for direction, usage in (
                (Direction.REQUEST, Usage.MAC_GENERATION),
                (Direction.RESPONSE, Usage.MAC_VERIFICATION),
            ):
                mac = await box.hsm.dukpt_mac_generate(base, serial, b"data", direction)
                assert mac == cmac(dukpt_aes.working_key(initial, serial, usage), b"data")[:8]

        await asyncio.gather(*(one(terminal) for terminal in range(40)))

    for counter in range(1, 6):
        box.run(transactions(counter))


@on_the_token
def test_an_answered_transaction_leaves_no_key_of_its_own_in_the_session(box: Box) -> None:
    base = box.run(box.hsm.generate_key(KeyUse.BASE_DERIVATION, KeyAlgorithm.AES_128))
    token = pkcs11.lib(softhsm.library()).get_token(token_label=softhsm.LABEL)
    derived = {pkcs11.Attribute.TOKEN: False}
    serial = SERIAL[:8] + (3).to_bytes(4)
    with token.open() as session:
        before = len(list(session.get_objects(derived)))
        box.run(box.hsm.dukpt_mac_generate(base, serial, b"data", Direction.REQUEST))
        # The initial key, counter 2's, which comes again, and the transaction's own.
        assert len(list(session.get_objects(derived))) == before + 3
        box.run(box.hsm.dukpt_mac_generate(base, serial, b"data", Direction.RESPONSE))
        assert len(list(session.get_objects(derived))) == before + 2


def test_at_least_one_session_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one session"):
        Pkcs11Hsm("module.so", "label", "1234", sessions=0)


@on_the_token
def test_two_adapters_on_one_token_do_not_disturb_each_other(box: Box) -> None:
    key = box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    other = Pkcs11Hsm(softhsm.library(), softhsm.LABEL, softhsm.USER_PIN, timeout_s=60.0)

    async def both() -> list[bytes]:
        calls = (hsm.mac_generate(key, b"data") for _ in range(50) for hsm in (box.hsm, other))
        return list(await asyncio.gather(*calls))

    assert len(set(box.run(both()))) == 1
    box.run(other.close())
    assert box.run(box.hsm.mac_verify(key, b"data", box.run(box.hsm.mac_generate(key, b"data"))))


@on_the_token
def test_an_object_that_says_no_use_is_not_taken(box: Box) -> None:
    key = box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    token = pkcs11.lib(softhsm.library()).get_token(token_label=softhsm.LABEL)
    for label in ("", "vafa", "vafa NOTHING", "MAC"):
        with token.open(rw=True) as session:
            (made,) = session.get_objects({pkcs11.Attribute.ID: bytes.fromhex(key.reference)})
            made[pkcs11.Attribute.LABEL] = label
        fresh = Pkcs11Hsm(softhsm.library(), softhsm.LABEL, softhsm.USER_PIN, timeout_s=60.0)
        assert box.fault_of(fresh.mac_generate(key, b"data")) is Fault.KEY_USE
        box.run(fresh.close())


@on_the_token
def test_a_key_that_is_gone_is_unknown(box: Box) -> None:
    key = box.run(box.hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128))
    box.run(box.hsm.mac_generate(key, b"data"))
    token = pkcs11.lib(softhsm.library()).get_token(token_label=softhsm.LABEL)
    with token.open(rw=True) as session:
        (made,) = session.get_objects({pkcs11.Attribute.ID: bytes.fromhex(key.reference)})
        made.destroy()
    assert box.fault_of(box.hsm.mac_generate(key, b"data")) is Fault.UNKNOWN_KEY


@on_the_token
def test_a_token_that_is_not_there_is_said(box: Box) -> None:
    absent = Pkcs11Hsm(softhsm.library(), "no such token", softhsm.USER_PIN, timeout_s=60.0)
    with pytest.raises(HsmError, match=r"random: unavailable \(NoSuchToken"):
        box.run(absent.random(8))
    box.run(absent.close())
    assert box.fault_of(absent.random(8)) is Fault.UNAVAILABLE


def test_a_library_that_is_not_there_is_said(tmp_path: Path) -> None:
    async def scenario() -> None:
        hsm = Pkcs11Hsm(tmp_path / "none.so", "label", "1234")
        with pytest.raises(HsmError, match="random: unavailable"):
            await hsm.random(8)
        await hsm.close()

    asyncio.run(scenario())


@on_the_token
def test_what_is_shown_is_the_label(box: Box) -> None:
    assert repr(box.hsm) == "Pkcs11Hsm(token_label='vafa test')"


WITH_A_WRONG_PIN = """
import asyncio, sys
from switch.hsm.pkcs11 import Pkcs11Hsm
from switch.hsm.port import HsmError

async def main():
    hsm = Pkcs11Hsm(sys.argv[1], sys.argv[2], "99999999", timeout_s=60.0)
    for _ in range(5):
        try:
            await hsm.random(8)
        except HsmError as error:
            print(error)

asyncio.run(main())
"""


@on_the_token
def test_a_wrong_pin_is_refused_and_not_told(box: Box) -> None:
    """In another process, for this one is logged in."""
    command = [sys.executable, "-c", WITH_A_WRONG_PIN, softhsm.library(), softhsm.LABEL]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["random: not authorised (PinIncorrect)"] * 5
    assert "99999999" not in done.stdout + done.stderr
