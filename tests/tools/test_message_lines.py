"""`vafa message serve` and `send` as real processes, over TCP and TLS, and what every failure says."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from switch.iso8583 import Message, load
from switch.link.framing import framing_named
from tests.server.running_switch import RunningSwitch
from tests.tools.kit import PROGRAM, Told, run, run_process, vector
from tools.cli import ExitCode

VAFA = load("vafa")
EARN = vector("earn, swiped, odd track 2")
CARD = "9364688574817543"
HIDDEN = "001234"  # middle of the card number in the vectors


def with_amount(amount: str) -> bytes:
    message = VAFA.decode(EARN)
    return VAFA.encode(Message(message.mti, {**message.fields, "4": amount}))


class Host:
    """A running `vafa message serve`; `events` are what it told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        listening = self.next_event("listening")
        self.port = listening["port"]
        self.address = f"127.0.0.1:{self.port}"

    def next_event(self, name: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            assert event["schema"] == "vafa.message.serve/1"
            self.events.append(event)
            if event["event"] == name:
                return event
        assert self.process.stderr is not None
        raise AssertionError(f"the host ended: {self.process.stderr.read()}")


@contextlib.contextmanager
def serving(*options: str) -> Iterator[Host]:
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", "--format", "jsonl", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Host(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=60)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
    assert code == ExitCode.OK


def send(address: str, payload: bytes, *options: str) -> Told:
    return run("send", address, *options, given=payload.hex().encode())


# ---------------------------------------------------------------- TCP


def test_an_approval_a_decline_and_silence() -> None:
    with serving() as host:
        approved = send(host.address, EARN, "--format", "jsonl")
        assert approved.code == ExitCode.OK
        (record,) = approved.records
        assert record["schema"] == "vafa.message.send/1"
        assert (record["approved"], record["response_code"], record["meaning"]) == (True, "00", "Approved")
        assert record["answer"]["mti"] == "0210"
        assert record["timing"]["answer_ms"] > 0
        assert record["timing"]["tls_ms"] == 0

        declined = send(host.address, with_amount("000000000051"))
        assert declined.code == ExitCode.NEGATIVE
        assert "not approved: 51 Not enough points" in declined.out

        silent = send(host.address, with_amount("000000000068"), "--timeout", "0.3")
        assert silent.code == ExitCode.NETWORK
        assert f"error: {host.address}: no answer within 0.3 s" in silent.err
        assert "try: " in silent.err

        last = host.next_event("message")
        while last["decided_by"] != "magic amount 68: no answer":
            last = host.next_event("message")
        assert HIDDEN not in json.dumps(host.events) + approved.out + declined.out + silent.err


def test_many_messages_on_one_connection() -> None:
    with serving() as host:
        lines = b"\n".join(
            data.hex().encode() for data in (vector("sign-on"), EARN, with_amount("000000000005"))
        )
        told = run_process("send", host.address, "--format", "jsonl", given=lines)
        assert told.code == ExitCode.NEGATIVE
        assert [record["response_code"] for record in told.records] == ["00", "00", "05"]
        assert [event["event"] for event in host.events].count("connected") <= 1


@pytest.mark.parametrize("framing", ["2le", "ascii4-inclusive", "bcd2+tpdu", "vmlh"])
def test_another_framing_at_both_ends(framing: str) -> None:
    with serving("--framing", framing) as host:
        assert send(host.address, EARN, "--framing", framing).code == ExitCode.OK


def test_a_wrong_framing_is_no_answer_and_says_what_to_try() -> None:
    with serving("--framing", "ascii4") as host:
        told = send(host.address, EARN, "--timeout", "20")
        assert told.code == ExitCode.NETWORK
        assert "closed the connection without an answer" in told.err or "connection lost" in told.err
        assert "--framing" in told.err
        host.next_event("bad framing: length bytes 00680200, expected ASCII digits")


def test_rules_change_by_signal_and_by_file(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.all]\nmatch.mti = "0200"\nanswer.39 = "05"\n')
    with serving("--rules", str(rules)) as host:
        assert json.loads(send(host.address, EARN, "--format", "jsonl").out)["response_code"] == "05"
        rules.write_text('[rules.all]\nmatch.mti = "0200"\nanswer.39 = "91"\n')
        host.process.send_signal(signal.SIGHUP)
        host.next_event("rules read")
        assert json.loads(send(host.address, EARN, "--format", "jsonl").out)["response_code"] == "91"
        rules.write_text('[rules.all]\nmatch.mti = "0200"\nanswer.39 = "58"  # by the file alone\n')
        host.next_event("rules read")
        assert json.loads(send(host.address, EARN, "--format", "jsonl").out)["response_code"] == "58"
        rules.write_text("[rules.all]\nchance = 9\n")
        refused = host.next_event("rules refused, the old ones stay")
        assert f"{rules}:2: rules.all.chance: not a chance" in refused["error"]
        assert json.loads(send(host.address, EARN, "--format", "jsonl").out)["response_code"] == "58"


def test_an_answer_to_another_message_is_no_approval(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.all]\nanswer.11 = "999999"\nanswer.mti = "0110"\n')
    with serving("--rules", str(rules)) as host:
        told = send(host.address, EARN)
        assert told.code == ExitCode.NEGATIVE
        assert "the answer can't be trusted: mti 0110 after 0200" in told.out
        assert "the answer can't be trusted: 11 is not the request's" in told.out


@pytest.mark.parametrize(
    ("action", "code"),
    [("garbage", ExitCode.NEGATIVE), ("truncate", ExitCode.NEGATIVE), ("close", ExitCode.NETWORK)],
)
def test_a_host_that_misbehaves(tmp_path: Path, action: str, code: ExitCode) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[rules.all]\naction = "{action}"\n')
    with serving("--rules", str(rules)) as host:
        told = send(host.address, EARN)
    assert told.code == code
    if code == ExitCode.NEGATIVE:
        assert "not approved: the answer can't be decoded as vafa" in told.out
        assert "no response code" not in told.out
    else:
        assert "--tls" in told.err


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        told = send(address, EARN)
    assert told.code == ExitCode.NETWORK
    assert f"error: {address}: no connection: Connection refused" in told.err
    assert "vafa message serve" in told.err


def test_an_answer_that_never_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def half_an_answer() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"\x00\x20half")
                connection.recv(4096)

        host = threading.Thread(target=half_an_answer)
        host.start()
        told = send(f"127.0.0.1:{listener.getsockname()[1]}", EARN, "--timeout", "0.3")
        host.join()
    assert told.code == ExitCode.NETWORK
    assert "no answer within 0.3 s; part of a frame came" in told.err


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = run("serve", "--port", port)
    assert told.code == ExitCode.NETWORK
    assert f"127.0.0.1:{port}: can't listen" in told.err


def test_bad_rules_stop_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[rules.x]\naction = "drpo"\n')
    told = run("serve", "--rules", str(rules))
    assert told.code == ExitCode.CONFIGURATION
    assert f"{rules}:2: rules.x.action: no action 'drpo'; did you mean 'drop'?" in told.err


@pytest.mark.parametrize("target", ["localhost", "localhost:", ":1", "localhost:x", "localhost:0", "h:70000"])
def test_an_address_that_is_none(target: str) -> None:
    told = send(target, EARN)
    assert told.code == ExitCode.USAGE
    assert "is no HOST:PORT" in told.err


def test_no_card_number_is_shown_on_either_side_of_a_line(tmp_path: Path) -> None:
    """In rules' names and values, in answers that echo it, in frames of garbage, in what is sent."""
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[rules.{CARD}]\nmatch.3 = "210060"\ntimes = 1\nanswer.62 = "{CARD}"\n'
        f'[rules."too long {CARD}"]\nmatch.3 = "210060"\ntimes = 1\nanswer.39 = "{{62}}"\n'
        f'[rules."mti {CARD}"]\nmatch.3 = "210060"\nanswer.mti = "{{62}}"\n'
    )
    message = VAFA.decode(EARN)
    fields = {**message.fields, "35": f"{CARD}=29121010000000000000", "62": f"till {CARD}"}
    shown = ""
    with serving("--rules", str(rules)) as host:
        for form in ("text", "jsonl"):
            told = send(
                host.address, VAFA.encode(Message("0200", fields)), "--format", form, "--timeout", "0.3"
            )
            shown += told.out + told.err
        for garbage in (
            CARD.encode(),
            bytes.fromhex(CARD) * 3,
            b"\x00\x10" + CARD.encode(),
            CARD.encode() * 5000,
        ):
            with socket.create_connection(("127.0.0.1", host.port)) as client:
                client.sendall(garbage)
        rules.write_text(
            f'[rules."{CARD}"]\naction = "{CARD}"\nmatch.2 = {CARD}\n{CARD} = 1\n'
            f'answer.39 = "{CARD}"\nanswer.63 = "{{{CARD}}}"\n'
        )
        host.next_event("rules refused, the old ones stay")
        shown += json.dumps(host.events)
    assert CARD[:6] in shown
    assert CARD[6:12] not in shown
    assert CARD.encode().hex()[12:24] not in shown


# ---------------------------------------------------------------- our own switch


def test_a_sample_is_sent_to_a_real_switch_as_one_of_its_terminals(tmp_path: Path) -> None:
    switch = RunningSwitch(tmp_path)
    try:
        settings = tmp_path / "terminals" / "10000003.json"
        address = f"127.0.0.1:{switch.port}"
        told = send(address, vector("sign-on"), "--terminal", str(settings), "--fresh", "--format", "jsonl")
        assert told.code == ExitCode.OK, told.err
        (record,) = told.records
        assert (record["approved"], record["mismatches"], record["answer"]["mti"]) == (True, [], "0810")
        shown = {part["path"]: part["value"] for part in record["answer"]["parts"]}
        assert shown["41"] == "10000003"
        again = send(address, vector("sign-on"), "--terminal", str(settings), "--fresh")
        assert again.code == ExitCode.OK, "each sending has a key serial of its own"
        neighbour = json.loads((tmp_path / "terminals" / "10000004.json").read_text())
        other = tmp_path / "other.json"
        other.write_text(json.dumps({**neighbour, "terminal_id": "10000003"}))
        told = send(address, vector("sign-on"), "--terminal", str(other), "--fresh")
        assert told.code == ExitCode.NEGATIVE
        assert "the answer can't be trusted: its MAC is not the answer key's" in told.out
    finally:
        switch.stop()


def test_settings_of_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "terminal.json"
    for text in ("{", "[]", '{"terminal_id": "1"}', '{"transport_key": "zz"}'):
        file.write_text(text)
        told = send("127.0.0.1:1", EARN, "--terminal", str(file))
        assert told.code == ExitCode.CONFIGURATION
        assert "no settings of a terminal" in told.err


# ---------------------------------------------------------------- TLS


class Authority:
    """A certificate authority in a directory; every file is PEM."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(self.name, self.key.public_key(), None)
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str) -> tuple[str, str]:
        """Certificate and key for 127.0.0.1 and localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        certificate = self._builder(subject, key.public_key(), addresses)
        paths = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(paths[0]), str(paths[1])

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, names: list[x509.GeneralName] | None
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path, "authority"), Authority(tmp_path, "stranger")
    cert, key = authority.issue("host")
    client_cert, client_key = authority.issue("client")
    ca = ("--ca", str(authority.file))
    with serving("--cert", cert, "--key", key, "--client-ca", str(authority.file)) as host:
        told = send(host.address, EARN, *ca, "--cert", client_cert, "--key", client_key, "--format", "jsonl")
        assert told.code == ExitCode.OK
        assert told.records[0]["timing"]["tls_ms"] > 0

        without = send(host.address, EARN, *ca)
        assert without.code == ExitCode.NETWORK
        assert "--cert" in without.err

        distrusted = send(host.address, EARN, "--ca", str(stranger.file))
        assert distrusted.code == ExitCode.NETWORK
        assert "its certificate is not trusted" in distrusted.err

        misnamed = send(host.address, EARN, *ca, "--server-name", "bank.example")
        assert misnamed.code == ExitCode.NETWORK
        assert "--server-name" in misnamed.err

        plain = send(host.address, EARN, "--timeout", "20")
        assert plain.code == ExitCode.NETWORK
        assert "--tls" in plain.err


def test_tls_asked_of_a_host_without_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    with serving() as host:
        # such a host waits for the rest of a frame, so only the clock ends it
        told = send(host.address, EARN, "--ca", str(authority.file), "--timeout", "0.5")
        assert told.code == ExitCode.NETWORK
        assert "no TLS" in told.err


def test_certificate_files_that_are_none(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")
    for options in (["--ca", missing], ["--cert", missing]):
        told = send("127.0.0.1:1", EARN, *options)
        assert told.code == ExitCode.CONFIGURATION
        assert missing in told.err
    assert run("serve", "--cert", missing).code == ExitCode.CONFIGURATION
    assert run("serve", "--key", missing).code == ExitCode.USAGE


def test_the_host_ends_in_order_while_clients_are_connected() -> None:
    with serving() as host:
        client = socket.create_connection(("127.0.0.1", host.port))
        client.sendall(framing_named("2be").frame(EARN))
        assert client.recv(4096)
        os.kill(host.process.pid, signal.SIGTERM)
        assert client.recv(4096) == b""
        client.close()
        host.process.wait(timeout=60)


# ---------------------------------------------------------------- ways to be wrong


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no-such-host.invalid:8583", "no host of that name is known"),
        ("two..dots:8583", "no host of that name is known"),
        (f"{'a' * 300}:8583", "no host of that name is known"),
    ],
)
def test_a_name_that_leads_nowhere(target: str, words: str) -> None:
    told = send(target, EARN)
    assert told.code == ExitCode.NETWORK
    assert f"{target}: {words}" in told.err
    assert "try: check the name" in told.err


@pytest.mark.parametrize("timeout", ["0", "nan", "inf", "-1", "soon"])
def test_a_time_to_wait_that_is_none(timeout: str) -> None:
    assert send("127.0.0.1:1", EARN, "--timeout", timeout).code == ExitCode.USAGE


@pytest.mark.parametrize("address", ["no-such-host.invalid", "two..dots", "192.0.2.1"])
def test_an_address_that_is_not_this_machines(address: str) -> None:
    told = run("serve", "--port", "0", "--host", address)
    assert told.code == ExitCode.NETWORK
    assert f"{address}:0: can't listen" in told.err


# ---------------------------------------------------------------- standard input and output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("view", 0),
        ("validate", 0),
        ("redact", 0),
        ("convert --to iso87-ascii", 0),
        ("view -d iso93-ascii", 1),
    ],
)
def test_a_reader_that_leaves_changes_no_exit_code(arguments: str, code: int) -> None:
    lines = b"\n".join([vector("sign-on").hex().encode()] * 1000)  # far more than buffers hold
    process = subprocess.Popen(
        [*PROGRAM, *arguments.split()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _out, told = process.communicate(lines, timeout=120)
    assert process.returncode == code, told
    assert b"internal" not in told
    assert b"Exception" not in told


@pytest.mark.parametrize("arguments", ["view", "redact", "view --format jsonl"])
def test_a_full_disk_is_told(arguments: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*PROGRAM, *arguments.split()],
            input=EARN.hex().encode(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ended.returncode == ExitCode.USAGE
    assert b"standard output: No space left on device" in ended.stderr


def test_standard_input_that_is_closed() -> None:
    for verb in ("view", "doctor"):
        ended = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM, verb], capture_output=True, text=True, check=False
        )
        assert ended.returncode == ExitCode.USAGE
        assert "error: -: closed" in ended.stderr
