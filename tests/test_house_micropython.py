"""Providing MicroPython, against a pretended apt: no network, every way it can go."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import micropython
from tools.micropython import MicroPythonMissing, provide, rank_archives, usable

TARGETS = """\
http://mirror.test/security/|bookworm-security|main
http://vendor.test/apt/|stable|main
http://mirror.test/debian/|bookworm|main
http://mirror.test/debian/|bookworm-updates|main
http://vendor.test/tool/|bookworm|extra
http://mirror.test/debian/|bookworm|contrib
"""

FAKE_MICROPYTHON = """#!/bin/sh
echo {version}
"""

# Answers the three commands that are used of apt-get; `$LOG` gets one line for each.
FAKE_APT_GET = """#!/bin/sh
for word; do case "$word" in
    indextargets) echo indextargets >>"$LOG"; cat "$TARGETS"; exit 0;;
    update) echo "update $(sed 's/.*] //' "$(dirname "$2")/sources.list")" >>"$LOG"
        if grep -q "$BROKEN" "$(dirname "$2")/sources.list"; then echo "E: no such suite" >&2; exit 100; fi
        exit 0;;
    download) echo download >>"$LOG"; touch micropython.deb; exit 0;;
esac; done
"""
# Stands for the unpacking: a loader that runs what it is given as its third word.
FAKE_DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr/lib64" "$3/usr/lib/some-linux-gnu" "$3/usr/bin"
touch "$3/usr/lib/some-linux-gnu/libc.so.6"
printf '#!/bin/sh\\nshift 2\\nexec "$@"\\n' >"$3/usr/lib64/ld-linux-some.so.2"
printf '#!/bin/sh\\necho %s\\n' "$VERSION" >"$3/usr/bin/micropython"
chmod +x "$3/usr/lib64/ld-linux-some.so.2" "$3/usr/bin/micropython"
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Machine:
    """A machine with a pretended apt and its own PATH; `checkout` is where MicroPython is wanted."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands = place / "commands"
        self.checkout = place / "checkout"
        self.log = place / "log"
        self.targets = place / "targets"
        self.checkout.mkdir()
        self.log.touch()
        self.targets.write_text(TARGETS)
        keyrings = place / "keyrings"
        keyrings.mkdir()
        (keyrings / "debian-archive-keyring.gpg").touch()
        executable(self.commands / "apt-get", FAKE_APT_GET)
        executable(self.commands / "dpkg-deb", FAKE_DPKG_DEB)
        executable(self.commands / "dpkg", "#!/bin/sh\n")
        monkeypatch.setenv("PATH", os.pathsep.join([str(self.commands), *path_without_micropython()]))
        monkeypatch.setenv("LOG", str(self.log))
        monkeypatch.setenv("TARGETS", str(self.targets))
        monkeypatch.setenv("VERSION", "1.25")
        monkeypatch.setenv("BROKEN", "nothing is broken")
        monkeypatch.setattr(micropython, "KEYRING_DIRECTORY", keyrings)
        monkeypatch.setattr(micropython, "_running_release", lambda: "bookworm")

    def done(self) -> list[str]:
        return self.log.read_text().splitlines()

    def left_behind(self) -> set[str]:
        tools = self.checkout / ".tools"
        return {path.name for path in tools.iterdir()} if tools.exists() else set()


def path_without_micropython() -> list[str]:
    parts = os.environ["PATH"].split(os.pathsep)
    return [part for part in parts if not shutil.which("micropython", path=part)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_the_main_debian_archive_comes_first_and_security_never() -> None:
    assert rank_archives(TARGETS, "bookworm") == ["http://mirror.test/debian/", "http://vendor.test/apt/"]


def test_no_archive_from_nonsense() -> None:
    assert rank_archives("W: something\n\n|\n", "bookworm") == []


def test_debian_packages_are_unpacked_once_and_only_they_remain(machine: Machine) -> None:
    wrapper = provide(machine.checkout)
    assert wrapper == machine.checkout / ".tools" / "bin" / "micropython"
    assert usable(wrapper)
    assert machine.done() == ["indextargets", "update http://mirror.test/debian/ trixie main", "download"]
    assert machine.left_behind() == {"bin", "micropython", "micropython.lock"}
    assert provide(machine.checkout) == wrapper
    assert len(machine.done()) == 3


def test_the_wrapper_survives_a_moved_checkout(machine: Machine) -> None:
    provide(machine.checkout)
    moved = machine.checkout.rename(machine.checkout.with_name("a moved checkout"))
    assert usable(moved / ".tools" / "bin" / "micropython")


def test_a_broken_one_is_made_again(machine: Machine) -> None:
    shutil.rmtree(provide(machine.checkout).parent.parent / "micropython" / "usr" / "bin")
    assert usable(provide(machine.checkout))
    assert machine.done().count("download") == 2


def test_an_archive_without_it_is_followed_by_the_next(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "mirror.test")
    assert usable(provide(machine.checkout))
    assert [line for line in machine.done() if line.startswith("update")] == [
        "update http://mirror.test/debian/ trixie main",
        "update http://vendor.test/apt/ trixie main",
    ]


def test_when_no_archive_has_it_the_message_says_what_to_install_and_nothing_remains(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN", "trixie")
    with pytest.raises(MicroPythonMissing, match=r"E: no such suite[^$]*apt-get install micropython"):
        provide(machine.checkout)
    assert machine.left_behind() == {"micropython.lock"}


def test_no_apt_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.checkout))
    with pytest.raises(MicroPythonMissing, match="has no apt-get"):
        provide(machine.checkout)


def test_a_mirror_password_is_not_printed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.targets.write_text("http://someone:secret@mirror.test/debian/|bookworm|main\n")
    provide(machine.checkout)
    printed = capsys.readouterr()
    assert "http://mirror.test/debian/" in printed.err
    assert "secret" not in printed.err + printed.out


def test_one_on_path_is_preferred(machine: Machine) -> None:
    executable(machine.commands / "micropython", FAKE_MICROPYTHON.format(version="1.26"))
    assert micropython.version_of(provide(machine.checkout)) == (1, 26)
    assert machine.done() == []


@pytest.mark.parametrize("version", ["1.24", "0.99", "nonsense", ""])
def test_an_old_or_broken_one_on_path_is_not_used(machine: Machine, version: str) -> None:
    executable(machine.commands / "micropython", FAKE_MICROPYTHON.format(version=version))
    assert micropython.version_of(provide(machine.checkout)) == (1, 25)


def test_our_own_wrapper_on_path_is_not_taken_for_the_machine_s(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = provide(machine.checkout)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    shutil.rmtree(wrapper.parent.parent / "micropython")
    assert usable(provide(machine.checkout))
    assert machine.done().count("download") == 2


def test_two_processes_at_once_make_one(machine: Machine) -> None:
    program = (
        "import sys, pathlib; from tools import micropython as m\n"
        "m.KEYRING_DIRECTORY = pathlib.Path(sys.argv[2]); m._running_release = lambda: 'bookworm'\n"
        "print(m.provide(pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(machine.checkout), str(micropython.KEYRING_DIRECTORY)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert answers == {str(machine.checkout / ".tools" / "bin" / "micropython")}
    assert machine.done().count("download") == 1


def test_the_real_one_is_what_the_firmware_is_written_for() -> None:
    wrapper = provide()
    program = (
        "import sys, asyncio, cryptolib, framebuf, hashlib, select, socket, termios\n"
        "print(sys.implementation.name, (sys.implementation._mpy & 0xff, sys.implementation._mpy >> 8 & 3))"
    )
    run = subprocess.run([wrapper, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "micropython (6, 3)\n"
