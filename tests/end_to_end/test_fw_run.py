"""`vafa fw` beside a real switch: what was flashed signs on, and a signed bundle is taken for updates."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simulators.switch_process import SwitchProcess
from tests.tools.fw_kit import Told, fw, profile
from tools import fw_build

LINE = "reader = {}\nprinter = {}"
EVENTS = 5  # boot, line, sign-on: a terminal says as many before it waits for somebody


def test_run_builds_flashes_and_follows_a_terminal_that_signs_on(tmp_path: Path) -> None:
    path = profile(tmp_path / "shop", devices=LINE)

    async def play() -> Told:
        switch = SwitchProcess(tmp_path / "data")
        await switch.start()
        text = path.read_text("utf-8").replace('locale = "fa"', f'locale = "en"\nport = {switch.port}')
        path.write_text(text, "utf-8")
        where = ("--profile", path, "--data", tmp_path / "data", "--terminal", "10000001")
        to = ("--to", tmp_path / "flash")
        try:
            # As docs/boards.md has it: flashed first, so the key block is in that directory alone.
            assert (await asyncio.to_thread(fw, "build", "--profile", path)).code == 0
            assert (await asyncio.to_thread(fw, "flash", *where, *to)).code == 0
            return await asyncio.to_thread(fw, "run", *where, *to, "--events", EVENTS)
        finally:
            await switch.stop()

    told = asyncio.run(play())
    assert told.code == 0, told.out + told.err
    assert "boot" in told.out
    assert "signed on" in told.out
    assert "has no keys" not in told.out
    for path in (tmp_path / "flash", tmp_path / "data" / "run" / "10000001"):  # loaded: nowhere any more
        assert "key_block" not in (path / "settings.json").read_text("utf-8")
    assert (tmp_path / "flash" / "firmware" / "terminal" / "main.mpy").is_file()


def test_a_signed_bundle_is_handed_to_the_switch(tmp_path: Path) -> None:
    point = fw("key", tmp_path / "test.pem", "--make", "--test").out.strip()
    path = profile(tmp_path / "shop", keys=(point,))
    out = tmp_path / "out"
    assert fw("build", "--profile", path, "--out", out).code == 0
    bundle = ("--profile", path, "--bundle", out / fw_build.BUNDLE)
    assert fw("sign", *bundle, "--key", tmp_path / "test.pem").code == 0

    async def begin() -> None:
        switch = SwitchProcess(tmp_path / "data")
        await switch.start()
        await switch.stop()

    asyncio.run(begin())
    told = fw("ota", *bundle, "--group", "default", "--data", tmp_path / "data")
    assert told.code == 0, told.err
    assert "software SHOP-1/7: added" in told.out
    assert "group default: software SHOP-1/7" in told.out
