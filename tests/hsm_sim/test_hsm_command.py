"""`vafa hsm` as a user runs it: a process of its own, officers, refusals, and no secret anywhere on disk."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from switch.hsm_sim.framing import frame
from switch.hsm_sim.service import TEST_OFFICERS
from tests import forked
from tests.hsm_sim.boxes import AES, ODD, tdes_token

CHECKOUT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "tools.cli", "hsm"]
PATIENCE_S = 60.0
FIRST, SECOND = "first secret phrase", "second secret phrase"
TEST_ANSWERS = "".join(f"{officer.name}\n{officer.passphrase}\n" for officer in TEST_OFFICERS)
SEALED_ANSWERS = f"anna\n{FIRST}\nbabak\n{SECOND}\n"
EXPORT = f"A8FFF{tdes_token(ODD, 'K0')}{tdes_token(ODD, 'P0')}S%01"


def vafa(
    *arguments: str, answers: str = "", environment: str | None = None
) -> subprocess.CompletedProcess[str]:
    told = {"VAFA_ENVIRONMENT": environment} if environment else {}
    return forked.vafa("hsm", *arguments, given=answers, environment=told)


class Running:
    """A box in a process of its own, and what it logged while starting."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.port = 0
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == "ready":
                self.port = int(self.log[-1]["ports"].split()[0])
                break
        assert self.port, self.log

    def ask(self, body: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            data = body.encode("latin-1")
            connection.sendall(frame(b"HEAD", data[:2], data[2:]))
            with connection.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2), "big"))[4:].decode("latin-1")

    def stop(self) -> list[dict[str, Any]]:
        """Everything that was logged."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        return self.log + [json.loads(line) for line in rest.splitlines()]


@contextmanager
def running(*arguments: str, answers: str = "") -> Iterator[Running]:
    process = subprocess.Popen(
        [*COMMAND, "run", "--port", "0", *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(answers)
        process.stdin.close()
        process.stdin = None
        yield Running(process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def test_two_officers_open_and_close_key_management_of_a_running_box(tmp_path: Path) -> None:
    data = str(tmp_path / "hsm")
    with running("--test-lmk", "--data", data) as box:
        assert box.ask("NC") == "ND002686040000000000SIMULATED"
        assert box.ask("NO00") == "NP003164SIMULATED00000"
        assert box.ask(EXPORT) == "A917"
        one_twice = TEST_ANSWERS.splitlines(keepends=True)[:2] * 2
        for answers in ("".join(one_twice), TEST_ANSWERS.replace("second", "wrong"), TEST_ANSWERS[:20]):
            refused = vafa("authorise", "export", "--data", data, answers=answers)
            assert refused.returncode in (1, 2), refused
            assert "Traceback" not in refused.stderr
        assert box.ask(EXPORT) == "A917"
        allowed = vafa("authorise", "export.P0", "--minutes", "5", "--data", data, answers=TEST_ANSWERS)
        assert allowed.stdout == "authorised for 5 min: export.P0.host\n"
        assert box.ask(EXPORT).startswith("A900")
        assert "authorised: export.P0.host" in vafa("status", "--data", data).stdout
        again = vafa(
            "authorise", "export.P0", "export.D0", "--minutes", "1", "--data", data, answers=TEST_ANSWERS
        )
        first, second = again.stdout.splitlines()
        assert first == "authorised for 1 min: export.D0.host"
        assert re.fullmatch(r"authorised for longer before, which holds: export\.P0\.host, 2\d\d s", second)
        assert vafa("cancel", "--data", data).returncode == 0
        assert box.ask(EXPORT) == "A917"
        audited = vafa("audit", "--data", data)
        assert audited.stdout.endswith("nothing changed, nothing missing\n")
        log = box.stop()
    text = (tmp_path / "hsm" / "audit.log").read_text() + json.dumps(log)
    for secret in (
        ODD.hex(),
        *(officer.passphrase for officer in TEST_OFFICERS),
        tdes_token(ODD, "P0")[20:50],
    ):
        assert secret.lower() not in text.lower()
    assert [line["event"] for line in log][-1] == "stopped"


def test_a_changed_audit_log_is_found_by_the_running_box_and_stops_the_next(tmp_path: Path) -> None:
    data = tmp_path / "hsm"
    with running("--test-lmk", "--data", str(data)) as box:
        assert box.ask("A00002U").startswith("A100")
        log = data / "audit.log"
        log.write_text(log.read_text().replace('"key": "002"', '"key": "001"'))
        found = vafa("audit", "--data", str(data))
        assert found.returncode == 1
        assert "was changed" in found.stderr
    again = vafa("run", "--test-lmk", "--port", "0", "--data", str(data))
    assert again.returncode == 4
    assert "was changed" in again.stderr


def test_a_sealed_lmk_needs_both_officers_and_keeps_its_keys(tmp_path: Path) -> None:
    data = str(tmp_path / "hsm")
    made = vafa("create", "--data", data, answers=SEALED_ANSWERS)
    assert made.returncode == 0, made.stderr
    assert json.loads((tmp_path / "hsm" / "hsm.json").read_bytes())["scrypt"] == [1 << 15, 8, 1]
    with running("--data", data, answers=f"{FIRST}\n{SECOND}\n") as box:
        key = box.ask("XYM6A1N")[4:-6]
        assert key[15:17] == "00"
        tag = box.ask(f"M600160FFF{key}0004data")[4:]
        box.stop()
    with running("--data", data, answers=f"{FIRST}\n{SECOND}\n") as box:
        assert box.ask(f"M800160FFF{key}0004data{tag}") == "M900"
        assert box.ask("NC")[4:10] != "DB3FB6"
        box.stop()
    for answers in (f"{FIRST}\n{FIRST}\n", f"{SECOND}\n{FIRST}\n", f"{FIRST}\n", "\n\n"):
        refused = vafa("run", "--port", "0", "--data", data, answers=answers)
        assert refused.returncode in (2, 4), refused
    again = vafa("create", "--data", data, answers=SEALED_ANSWERS)
    assert again.returncode == 4
    for path in (tmp_path / "hsm").iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert FIRST not in path.read_text()


@pytest.mark.parametrize("way", ["option", "variable", "file"])
def test_a_simulator_refuses_to_be_production(tmp_path: Path, way: str) -> None:
    config = tmp_path / "switch.toml"
    config.write_text('environment = "production"\n[listener]\nport = 1\n' if way == "file" else "")
    options = ["--environment", "production"] if way == "option" else []
    refused = vafa(
        "run",
        "--test-lmk",
        "--config",
        str(config),
        *options,
        environment="production" if way == "variable" else None,
    )
    assert refused.returncode == 4
    assert "production" in refused.stderr
    assert "real HSM" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--test-lmk", "--host", "0.0.0.0"], 4, "without TLS"),
        (["--test-lmk", "--tls-key", "x"], 4, "all three"),
        (["--test-lmk", "--default-lmk", "09"], 4, "no LMK 09"),
        (["--test-lmk", "--allow-format", "34"], 4, "can't be allowed"),
        (["--authorised", "5", "--data", "nowhere"], 4, "starts authorised"),
        (["--data", "nowhere"], 4, "vafa hsm create"),
        (["--test-lmk", "--config", "nowhere.toml"], 4, "nowhere.toml"),
        (["--port", "65536"], 2, "65535"),
    ],
)
def test_what_can_not_be_is_refused_with_a_reason(arguments: list[str], code: int, said: str) -> None:
    refused = vafa("run", *arguments)
    assert refused.returncode == code, refused
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_port_that_is_taken_is_a_network_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = vafa("run", "--test-lmk", "--port", str(taken.getsockname()[1]))
    assert refused.returncode == 3
    assert "can't be listened on" in refused.stderr


def test_an_unknown_setting_names_the_known_ones(tmp_path: Path) -> None:
    config = tmp_path / "hsm.toml"
    config.write_text("[hsm_simulator]\nprot = 1500\n")
    refused = vafa("run", "--test-lmk", "--config", str(config))
    assert refused.returncode == 4
    assert "prot is not known" in refused.stderr
    assert "port" in refused.stderr


def test_nobody_answers_when_no_box_runs(tmp_path: Path) -> None:
    alone = vafa("status", "--data", str(tmp_path))
    assert alone.returncode == 3
    assert "vafa hsm run" in alone.stderr


def test_the_process_leaves_no_core_and_can_not_be_traced() -> None:
    with running("--test-lmk") as box:
        limits = Path(f"/proc/{box.process.pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]
        assert not any(line["event"] == "not hardened" for line in box.log)
        box.stop()
    get_dumpable = "import ctypes; print(ctypes.CDLL(None).prctl(3))"
    program = f"from switch.hsm_sim.process import harden; print(harden()); {get_dumpable}"
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert shown.split("\n")[:2] == ["()", "0"]


COMPONENTS = ("11" * 32, "22 " * 32, "77" * 32)  # a letter groups its digits


def test_a_key_formed_at_the_console_is_the_sum_of_its_components(tmp_path: Path) -> None:
    data = str(tmp_path / "hsm")
    typed = "".join(f"{one}\n" for one in COMPONENTS)
    with running("--test-lmk", "--default-lmk", "02", "--data", data) as box:
        form = ("form", "k0", "--algorithm", "A3", "--data", data)
        formed = vafa(*form, answers=TEST_ANSWERS + typed)
        assert formed.returncode == 0, formed.stderr
        opened = AES.unwrap(formed.stdout.strip())
        assert opened.key == bytes([0x11 ^ 0x22 ^ 0x77]) * 32
        assert (opened.header.usage, opened.header.exportability) == ("K0", "N")
        shown = box.ask(f"BUFFF{formed.stdout.strip()};FFF;001")[4:]
        assert formed.stderr == f"K0: KCV {shown}\n"
        for answers, said in (
            (TEST_ANSWERS.replace("second", "wrong") + typed, "passphrases"),
            (TEST_ANSWERS + typed.replace("77", "11"), "equal"),
            (TEST_ANSWERS + typed.replace("77", "33"), "cancel"),
            (TEST_ANSWERS + typed.replace("77", "7"), "32 bytes"),
            (TEST_ANSWERS + typed.replace("77", "no"), "not hexadecimal"),
            (TEST_ANSWERS, "stdin ended"),
        ):
            refused = vafa(*form, answers=answers)
            assert refused.returncode in (1, 2), refused
            assert said in refused.stderr
            assert refused.stdout == ""
        assert vafa("form", "M1", "--data", data, answers=TEST_ANSWERS + typed).returncode == 1
        log = json.dumps(box.stop())
    audit = (tmp_path / "hsm" / "audit.log").read_text()
    assert audit.count("key formed at the console") == 1
    for secret in ("11" * 32, "22" * 32, "77" * 32, "44" * 32):
        assert secret not in audit + log


def officers_file(path: Path, text: str = SEALED_ANSWERS, mode: int = 0o600) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_box_that_nobody_attends_reads_its_officers_from_a_file(tmp_path: Path) -> None:
    data, officers = str(tmp_path / "hsm"), officers_file(tmp_path / "officers")
    made = vafa("create", "--data", data, "--officers", officers)
    assert made.returncode == 0, made.stderr
    with running("--data", data, "--officers", officers) as box:
        allowed = vafa("authorise", "import.K1", "--data", data, "--officers", officers)
        assert allowed.stdout == "authorised for 15 min: import.K1.host\n"
        box.stop()


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (SEALED_ANSWERS, 0o640, "others may read it"),
        ("anna\n", 0o600, "four lines"),
        (SEALED_ANSWERS.replace(FIRST, "something else"), 0o600, "do not open the LMK"),
    ],
)
def test_an_officers_file_that_can_not_serve_is_told(tmp_path: Path, text: str, mode: int, said: str) -> None:
    data = str(tmp_path / "hsm")
    vafa("create", "--data", data, answers=SEALED_ANSWERS)
    refused = vafa("run", "--data", data, "--officers", officers_file(tmp_path / "officers", text, mode))
    assert refused.returncode == 4
    assert said in refused.stderr
    assert FIRST not in refused.stderr


def test_a_console_answers_however_long_its_path_is(tmp_path: Path) -> None:
    data = str(tmp_path / ("long" * 30))
    with running("--test-lmk", "--data", data) as box:
        assert vafa("status", "--data", data).returncode == 0
        box.stop()
    assert not (Path(data) / "console.sock").exists()
