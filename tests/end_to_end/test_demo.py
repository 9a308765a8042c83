"""`vafa demo` as a user runs it: one visit, its JSON, staying up, and leaving nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.process import ROOT, VAFA
from switch.defaults import create_defaults
from switch.settings import load_for

GENEROUS_SECONDS = 120
PROCESSES = 4  # HSM, switch, reader, firmware
STEPS = ["activate", "earn", "balance", "redeem", "balance", "earn_line_pulled", "reversal", "balance"]
CARD_NUMBER = re.compile(r"(?<![0-9])936400[0-9]{10}(?![0-9])")


def vafa(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; one that hangs is stopped and shown."""
    process = subprocess.Popen(
        [*VAFA, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=GENEROUS_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=GENEROUS_SECONDS)
        pytest.fail(f"vafa {' '.join(arguments)} took more than {GENEROUS_SECONDS} s:\n{stdout}\n{stderr}")
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


class Running:
    """A `vafa demo` that stays up; its output is read as it comes."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*VAFA, "demo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        self._output = self.process.stdout
        os.set_blocking(self._output.fileno(), False)
        self.text = ""

    def until(self, *words: str) -> None:
        """Read until all words have been printed, one after the other."""
        deadline = time.monotonic() + GENEROUS_SECONDS
        place = 0
        for word in words:
            while (found := self.text.find(word, place)) < 0:
                left = deadline - time.monotonic()
                ready, _, _ = select.select([self._output], [], [], max(0.0, left))
                chunk = os.read(self._output.fileno(), 65536) if ready else b""
                assert chunk, f"no {word!r} in the output:\n{self.text}"
                self.text += chunk.decode("utf-8", "replace")
            place = found + len(word)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._output.close()


@contextlib.contextmanager
def staying_up(*arguments: str) -> Iterator[Running]:
    running = Running(*arguments)
    try:
        running.until("staying up", "keys ")
        yield running
    finally:
        running.close()


def wait_until_gone(watches: list[int]) -> None:
    """Each is a pidfd: readable when its process has ended."""
    deadline = time.monotonic() + GENEROUS_SECONDS
    for watch in watches:
        ready, _, _ = select.select([watch], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, "a process of the demo is left"
        os.close(watch)


def test_twice_on_one_directory_and_a_switch_alone_between_while_its_hsm_runs(tmp_path: Path) -> None:
    """Named whole, and from where one stands."""
    data = tmp_path / "data"
    visited(tmp_path, "data")
    alone = vafa("ledger", "verify", "--data", str(data))
    assert alone.returncode == 4
    assert "check that the HSM runs there" in alone.stderr
    config, officers = str(data / "hsm" / "hsm.toml"), str(data / "hsm" / "officers.txt")
    box = subprocess.Popen(
        [*VAFA, "hsm", "run", "--config", config, "--officers", officers],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert box.stderr is not None
        assert any('"event": "ready"' in line for line in box.stderr)
        assert vafa("ledger", "verify", "--data", str(data)).returncode == 0
        second = vafa("demo", "--once", "--data", str(data))
        assert second.returncode == 4
        assert "another box writes" in second.stderr
    finally:
        box.terminate()
        box.communicate()
    visited(tmp_path, str(data))


def visited(place: Path, data: str) -> None:
    """Play one visit there; all of it is as it should be."""
    run = vafa("demo", "--once", "--json", "--data", data, cwd=place)
    assert run.returncode == 0, run.stderr
    assert (place / "data" / "ledger.sqlite").is_file()
    result = json.loads(run.stdout)
    assert result["ledger_verified"] is True
    assert [step["name"] for step in result["steps"]] == STEPS
    by_place = result["steps"]
    assert [step["approved"] for step in by_place] == [name != "earn_line_pulled" for name in STEPS]
    assert (by_place[1]["points"], by_place[1]["balance"]) == ("250", "250")
    assert (by_place[3]["points"], by_place[3]["balance"]) == ("100", "150")
    assert by_place[7]["balance"] == "150"
    assert all(isinstance(value, str) for step in by_place for value in (step["points"], step["balance"]))
    for step in by_place:
        assert bool(step["receipt"]) == (step["name"] not in ("earn_line_pulled", "reversal"))
        assert not step["receipt"] or (step["rrn"] in step["receipt"] and "ماندهٔ امتیاز" in step["receipt"])
    assert not CARD_NUMBER.search(run.stdout + run.stderr)


def test_once_prints_screens_and_receipts_and_removes_its_directory(tmp_path: Path) -> None:
    run = vafa("demo", "--once", TMPDIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    for text in ("2,500,000", "Points earned", "امتیاز کسب‌شده", "Reversal", "ledger verified"):
        assert text in run.stdout
    assert not CARD_NUMBER.search(run.stdout + run.stderr)
    assert list(tmp_path.iterdir()) == []


def test_killed_it_leaves_no_process_and_after_it_takes_swipes_and_keys_and_ends_on_a_signal(
    tmp_path: Path,
) -> None:
    """All on one directory; while it stays up its HSM dies, is started again, and trade goes on."""
    with staying_up("--data", str(tmp_path), "--port", "0") as demo:
        children = [os.pidfd_open(pid) for pid in demo.children()]
        assert len(children) == PROCESSES
        demo.process.kill()
        wait_until_gone(children)
    with staying_up("--data", str(tmp_path), "--port", "0") as demo:
        port = int((tmp_path / "switch.port").read_text())
        demo.until("steps as expected, ledger verified", f"127.0.0.1:{port}")
        demo.until(f"vafa sim swipe --data {tmp_path}")
        swipe = sale(tmp_path)
        assert re.fullmatch(r"swiped 936400\*{6}[0-9]{4}: [0-9]+ bytes\n", swipe)
        demo.until("staying up", "1,000,000 rial", "Points earned", "100", "Balance", "250")
        second = vafa("demo", "--once", "--data", str(tmp_path))
        assert second.returncode == 4
        assert "another demo runs" in second.stderr
        restarted_hsm(demo, tmp_path)
        sale(tmp_path)
        demo.until("the switch has its HSM again", "Points earned", "100", "Balance", "350")
        children = [os.pidfd_open(pid) for pid in demo.children()]
        assert len(children) == PROCESSES
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(GENEROUS_SECONDS) == 0
        wait_until_gone(children)
        demo.until("stopping")
    assert not (tmp_path / "switch.port").exists()
    gone = vafa("sim", "swipe", "--data", str(tmp_path))
    assert gone.returncode == 3
    assert "no firmware runs" in gone.stderr


def sale(data: Path) -> str:
    """Swipe and press an amount; what the swipe printed."""
    swipe = vafa("sim", "swipe", "--data", str(data))
    assert swipe.returncode == 0, swipe.stderr
    assert vafa("sim", "keys", "--data", str(data), "1000000#").returncode == 0
    return swipe.stdout


def restarted_hsm(demo: Running, data: Path) -> None:
    """Kill the HSM; that is told, and another one comes by itself."""
    hsm = process_of(demo, "hsm run")
    port = load_for(data, None).hsm.port
    demo.until(f"127.0.0.1:{port}, process {hsm}, simulated, over TLS")
    os.kill(hsm, signal.SIGKILL)
    demo.until("the HSM simulator ended by signal 9", f"the HSM simulator is back on 127.0.0.1:{port}")
    demo.until("the switch has lost its HSM", "the switch has its HSM again")
    assert process_of(demo, "hsm run") != hsm


def test_a_signal_during_the_visit_stops_everything(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        demo = Running("--data", str(tmp_path), "--port", "0")
        try:
            demo.until("activate the card")
            children = [os.pidfd_open(pid) for pid in demo.children()]
            demo.process.send_signal(number)
            assert demo.process.wait(GENEROUS_SECONDS) == 130
            wait_until_gone(children)
        finally:
            demo.close()


def process_of(demo: Running, what: str) -> int:
    """The child whose command line has these words."""
    found = [
        pid
        for pid in demo.children()
        if what in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    ]
    assert len(found) == 1, found
    return found[0]


def test_a_directory_with_its_keys_in_the_switch_goes_on_without_a_box(tmp_path: Path) -> None:
    create_defaults(tmp_path)
    keys = (tmp_path / "keys.json").read_bytes()
    run = vafa("demo", "--once", "--json", "--data", str(tmp_path))
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["ledger_verified"] is True
    assert (tmp_path / "keys.json").read_bytes() == keys
    assert not (tmp_path / "hsm").exists()


def test_a_directory_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data in ("/proc/1", str(tmp_path / "file"), str(tmp_path / "file" / "below")):
        run = vafa("demo", "--once", "--data", data)
        assert run.returncode == 4, run.stderr
        assert "can't be" in run.stderr
        assert "another --data" in run.stderr


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = vafa("demo", "--once", "--port", str(port))
    assert run.returncode == 3
    assert f"port {port} is taken" in run.stderr
    assert "--port" in run.stderr
