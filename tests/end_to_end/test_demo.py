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

GENEROUS_SECONDS = 120
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


def test_once_twice_on_one_directory(tmp_path: Path) -> None:
    for _ in range(2):
        run = vafa("demo", "--once", "--json", "--data", str(tmp_path))
        assert run.returncode == 0, run.stderr
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
            assert not step["receipt"] or (
                step["rrn"] in step["receipt"] and "ماندهٔ امتیاز" in step["receipt"]
            )
        assert not CARD_NUMBER.search(run.stdout + run.stderr)


def test_the_data_directory_may_be_named_from_where_one_stands(tmp_path: Path) -> None:
    run = vafa("demo", "--once", "--json", "--data", "data", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "data" / "ledger.sqlite").is_file()


def test_once_prints_screens_and_receipts_and_removes_its_directory(tmp_path: Path) -> None:
    run = vafa("demo", "--once", TMPDIR=str(tmp_path))
    assert run.returncode == 0, run.stderr
    for text in ("2,500,000", "Points earned", "امتیاز کسب‌شده", "Reversal", "ledger verified"):
        assert text in run.stdout
    assert not CARD_NUMBER.search(run.stdout + run.stderr)
    assert list(tmp_path.iterdir()) == []


def test_staying_up_takes_swipes_and_keys_and_ends_on_a_signal(tmp_path: Path) -> None:
    with staying_up("--data", str(tmp_path), "--port", "0") as demo:
        port = int((tmp_path / "switch.port").read_text())
        demo.until(f"127.0.0.1:{port}", f"vafa sim swipe --data {tmp_path}")
        swipe = vafa("sim", "swipe", "--data", str(tmp_path))
        assert swipe.returncode == 0, swipe.stderr
        assert re.fullmatch(r"swiped 936400\*{6}[0-9]{4}: [0-9]+ bytes\n", swipe.stdout)
        assert vafa("sim", "keys", "--data", str(tmp_path), "1000000#").returncode == 0
        demo.until("staying up", "1,000,000 rial", "Points earned", "100", "Balance", "250")
        second = vafa("demo", "--once", "--data", str(tmp_path))
        assert second.returncode == 4
        assert "another demo runs" in second.stderr
        children = [os.pidfd_open(pid) for pid in demo.children()]
        assert len(children) == 3
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(GENEROUS_SECONDS) == 0
        wait_until_gone(children)
        demo.until("stopping")
    assert not (tmp_path / "switch.port").exists()
    gone = vafa("sim", "swipe", "--data", str(tmp_path))
    assert gone.returncode == 3
    assert "no firmware runs" in gone.stderr


def test_a_killed_demo_leaves_no_process_and_its_directory_works_again(tmp_path: Path) -> None:
    with staying_up("--data", str(tmp_path), "--port", "0") as demo:
        children = [os.pidfd_open(pid) for pid in demo.children()]
        assert len(children) == 3
        demo.process.kill()
        wait_until_gone(children)
    run = vafa("demo", "--once", "--json", "--data", str(tmp_path))
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_visit_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    demo = Running("--data", str(tmp_path), "--port", "0")
    try:
        demo.until("activate the card")
        children = [os.pidfd_open(pid) for pid in demo.children()]
        demo.process.send_signal(number)
        assert demo.process.wait(GENEROUS_SECONDS) == 130
        wait_until_gone(children)
    finally:
        demo.close()


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = vafa("demo", "--once", "--port", str(port))
    assert run.returncode == 3
    assert f"port {port} is taken" in run.stderr
    assert "--port" in run.stderr
