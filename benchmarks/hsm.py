"""The HSM's adapters: what one transaction's cryptography costs through each.

    python -m benchmarks.hsm [--seconds 10]

A transaction is what a request with a PIN takes: DUKPT MAC verified, PIN verified, the answer MACed, all
on a serial that was never seen before. In the process: the thread's processor time. Through the simulator, a
process of its own on this machine, over TCP: transactions start by the clock, 2 000 a second, whether those
before are done or not, and are timed from when they were due; one that failed counts as lost. The in-process
figure stands beside the bare cryptography and beside one AES-CMAC of the same run, for machines differ.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from switch.hsm import InProcessHsm, PayShieldHsm
from switch.hsm.crypto import dukpt_aes, macs, pin_blocks
from switch.hsm.crypto.ciphers import same
from switch.hsm.crypto.dukpt_aes import Deriver, Usage
from switch.hsm.crypto.key_blocks import Header
from switch.hsm.crypto.master_keys import TEST_AES_BLOCK_KEY, BlockMasterKey
from switch.hsm.crypto.pin_verifier import PinVerifier
from switch.hsm.pkcs11 import Pkcs11Hsm
from switch.hsm.port import MAC_BYTES, Direction, DukptPin, Hsm, HsmError, Key, KeyAlgorithm, KeyUse
from tests.hsm import softhsm
from tests.hsm.simulator import AES_MASTER_KEY_ID, RunningSimulator

SECONDS = 10
TARGET_US = 15.0  # the whole cryptography of a transaction in the process
TARGET_MS = 2.0  # what the simulator may add at the 99th percentile
RATE = 2000  # transactions a second
IN_FLIGHT = 64
ROUNDS = 15
PASS = 500  # transactions of a round in the process
CALLS = 2000  # of a round over TCP

BASE_KEY = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
PIN_VERIFIER_KEY = bytes(range(16))
TERMINALS = 100
CARD, PIN, BINDING = "9364001234567890", "1234", b"member 0123456789"
REQUEST, ANSWER = bytes(range(120)), bytes(range(90))  # about as long as the reference earn and its answer
USAGES = (Usage.PIN, Usage.MAC_GENERATION, Usage.MAC_VERIFICATION)


class Request(NamedTuple):
    """One request as it comes in, made by the terminal's side."""

    serial: bytes
    block: bytes
    mac: bytes


class Keys(NamedTuple):
    base: Key
    verifier: Key


def requests(count: int, first_counter: int = 1) -> list[Request]:
    """Of many terminals in turn, each with rising counters."""
    deriver = Deriver(BASE_KEY)
    made: list[Request] = []
    counter = first_counter
    while len(made) < count:
        counter += 1
        if not dukpt_aes.valid_counter(counter):
            continue
        for terminal in range(min(TERMINALS, count - len(made))):
            serial = bytes.fromhex("0011AABB") + terminal.to_bytes(4) + counter.to_bytes(4)
            pin_key, mac_key, _ = deriver.working_keys(serial, USAGES)
            block = pin_blocks.seal_iso_4(pin_key, PIN, CARD)
            made.append(Request(serial, block, macs.cmac(mac_key, REQUEST)[:MAC_BYTES]))
    return made


def known_keys(master_key_id: str) -> Keys:
    """Tokens under the public test key, which the simulator has too."""
    master = BlockMasterKey(TEST_AES_BLOCK_KEY)

    def token(use: KeyUse, mode: str, clear: bytes) -> Key:
        header = Header("1", use.value, "A", mode, reserved=master_key_id)
        return Key(master.wrap(header, clear), use, "000000")

    return Keys(
        token(KeyUse.BASE_DERIVATION, "X", BASE_KEY), token(KeyUse.PIN_VERIFIER, "C", PIN_VERIFIER_KEY)
    )


VERIFIER = PinVerifier(PIN_VERIFIER_KEY).make(PIN, BINDING)


async def transaction(hsm: Hsm, keys: Keys, request: Request) -> None:
    base, serial = keys.base, request.serial
    assert await hsm.dukpt_mac_verify(base, serial, REQUEST, request.mac, Direction.REQUEST)
    assert await hsm.pin_verify(DukptPin(base, serial, request.block), CARD, keys.verifier, BINDING, VERIFIER)
    await hsm.dukpt_mac_generate(base, serial, ANSWER, Direction.RESPONSE)


def bare_transaction(deriver: Deriver, verifier: PinVerifier, request: Request) -> None:
    """The same without keys by reference, checks and coroutines."""
    pin_key, mac_key, answer_key = deriver.working_keys(request.serial, USAGES)
    assert same(macs.cmac(mac_key, REQUEST)[:MAC_BYTES], request.mac)
    assert verifier.matches(pin_blocks.open_iso_4(pin_key, request.block, CARD), BINDING, VERIFIER)
    macs.cmac(answer_key, ANSWER)


# ---------------------------------------------------------------- in the process


async def in_process(coming: list[Request]) -> None:
    keys = known_keys("00")
    seen: dict[str, list[float]] = {"adapter": [], "bare": [], "cmac": []}
    for number in range(ROUNDS):
        some = coming[number * PASS : (number + 1) * PASS]
        hsm, deriver, verifier = (
            InProcessHsm(TEST_AES_BLOCK_KEY),
            Deriver(BASE_KEY),
            PinVerifier(PIN_VERIFIER_KEY),
        )
        for request in coming[
            :TERMINALS
        ]:  # the terminals' initial keys are derived once, not per transaction
            await hsm.dukpt_mac_generate(keys.base, request.serial, b"", Direction.REQUEST)
            deriver.working_keys(request.serial, USAGES)
        start = time.thread_time()
        for request in some:
            await transaction(hsm, keys, request)
        seen["adapter"].append((time.thread_time() - start) / PASS)
        start = time.thread_time()
        for request in some:
            bare_transaction(deriver, verifier, request)
        seen["bare"].append((time.thread_time() - start) / PASS)
        start = time.thread_time()
        for _ in range(PASS):
            macs.cmac(BASE_KEY, REQUEST)
        seen["cmac"].append((time.thread_time() - start) / PASS)
    adapter, bare, cmac = (statistics.median(seen[name]) * 1e6 for name in ("adapter", "bare", "cmac"))
    print(f"in the process: a transaction {adapter:.1f} us, target {TARGET_US:.0f} us")
    print(f"  the bare cryptography {bare:.1f} us: the adapter adds {adapter / bare - 1:.0%}")
    print(f"  one AES-CMAC {cmac:.2f} us: a transaction is {adapter / cmac:.1f} of them")


# ---------------------------------------------------------------- through the simulator


async def through_the_simulator(coming: list[Request], seconds: int) -> None:
    with RunningSimulator() as simulator:
        hsm = PayShieldHsm("127.0.0.1", simulator.port, master_key_id=AES_MASTER_KEY_ID, timeout_s=10.0)
        await hsm.start()
        try:
            keys = known_keys(AES_MASTER_KEY_ID)
            for request in coming[:TERMINALS]:
                await transaction(hsm, keys, request)
            await one_call(hsm)
            await by_the_clock(hsm, keys, coming[TERMINALS:], seconds)
        finally:
            await hsm.close()


async def one_call(hsm: Hsm) -> None:
    key = await hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)

    async def calls(count: int) -> None:
        for _ in range(count):
            await hsm.mac_generate(key, REQUEST)

    one_by_one = await seconds_of(lambda: calls(CALLS)) / CALLS
    together = await seconds_of(
        lambda: asyncio.gather(*(calls(CALLS // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    ) / (CALLS // IN_FLIGHT * IN_FLIGHT)
    print(
        f"through the simulator: a MAC {one_by_one * 1e6:.0f} us one by one, {together * 1e6:.0f} us with"
        f" {IN_FLIGHT} in flight ({one_by_one / together:.1f}x)"
    )


async def seconds_of(act: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await act()
    return time.perf_counter() - start


async def by_the_clock(hsm: Hsm, keys: Keys, coming: list[Request], seconds: int) -> None:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    lost = 0

    async def one(request: Request, due: float) -> None:
        nonlocal lost
        try:
            await transaction(hsm, keys, request)
        except HsmError:  # more wait than may: this machine is too slow for the pace
            lost += 1
        else:
            took.append(loop.time() - due)

    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(islice(coming, RATE * seconds)):
            due = start + number / RATE
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            group.create_task(one(request, due))
    whole = loop.time() - start
    milliseconds = sorted(1000 * one for one in took)
    p50, p99 = (milliseconds[int(len(milliseconds) * share)] for share in (0.50, 0.99))
    print(
        f"  {len(took) / whole:.0f} transactions/s by the clock ({RATE} asked for, {lost} lost):"
        f" added p50 {p50:.2f} ms, p99 {p99:.2f} ms, target {TARGET_MS:.0f} ms"
    )


# ---------------------------------------------------------------- PKCS#11


async def on_a_token(coming: list[Request]) -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        softhsm.fresh_token(Path(directory)) as module,
    ):
        hsm = Pkcs11Hsm(module, softhsm.LABEL, softhsm.USER_PIN, timeout_s=10.0)
        await hsm.status()
        base = softhsm.put_key(module, KeyUse.BASE_DERIVATION, BASE_KEY)
        key = await hsm.generate_key(KeyUse.MAC, KeyAlgorithm.AES_128)
        count = 500

        async def macs_one_by_one() -> None:
            for _ in range(count):
                await hsm.mac_generate(key, REQUEST)

        async def dukpt_one_by_one() -> None:
            for request in coming[:count]:
                right = await hsm.dukpt_mac_verify(
                    base, request.serial, REQUEST, request.mac, Direction.REQUEST
                )
                assert right
                await hsm.dukpt_mac_generate(base, request.serial, ANSWER, Direction.RESPONSE)

        one_mac = await seconds_of(macs_one_by_one) / count * 1e6
        one_transaction = await seconds_of(dukpt_one_by_one) / count * 1e6
        print(
            f"on SoftHSM2: a MAC {one_mac:.0f} us, DUKPT MACs of a request and its answer"
            f" {one_transaction:.0f} us"
        )
        await hsm.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=SECONDS)
    seconds = parser.parse_args().seconds
    coming = requests(max(RATE * seconds + TERMINALS, ROUNDS * PASS))
    asyncio.run(in_process(coming))
    asyncio.run(through_the_simulator(coming, seconds))
    asyncio.run(on_a_token(coming))


if __name__ == "__main__":
    main()
