"""Several real switch processes on one ledger in PostgreSQL, for tests: one settings file, a data directory
and a range of buckets for each."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from simulators.terminal_keys import TerminalKeys
from switch.authorizer.identity import bucket_of_identifier, card_identifier
from switch.defaults import create_defaults, read_terminal_settings
from switch.ledger.postgres_owners import PostgresOwners
from switch.settings import load
from tests.server.running_switch import RunningSwitch, new_card

LOW, HIGH, ALL = "0-127", "128-255", "0-255"


class Sharing:
    """The settings that all processes have. changes: "section.key" -> TOML text of the value; also: what else
    is done to the file."""

    def __init__(
        self,
        home: Path,
        url: str,
        changes: dict[str, str] | None = None,
        also: Callable[[Path], None] = lambda path: None,
    ) -> None:
        self.home = home
        self.url = url
        create_defaults(home)
        self.path = home / "switch.toml"
        text = self.path.read_text(encoding="utf-8")
        changes = {"ledger.engine": '"postgres"', "ledger.url": f'"{url}"', "registry.directory": '"."'} | (
            changes or {}
        )
        for name, value in changes.items():
            section, key = name.split(".")
            if f"[{section}]" in text:
                text = text.replace(f"[{section}]\n", f"[{section}]\n{key} = {value}\n", 1)
            else:
                text = text.replace("[keys]", f"[{section}]\n{key} = {value}\n\n[keys]", 1)
        self.path.write_text(text, encoding="utf-8")
        also(self.path)
        self.settings = load(self.path)
        self.keys = {
            terminal.id: TerminalKeys.of(read_terminal_settings(self.settings, terminal))
            for terminal in self.settings.terminals
        }

    def bucket_of(self, card: str) -> int:
        """The bucket of a card that was never a replacement."""
        return bucket_of_identifier(card_identifier(card, self.settings.directory_key))

    def card_in(self, buckets: str) -> str:
        """A card that no test has used, of a member in these buckets."""
        first, last = map(int, buckets.split("-"))
        while not first <= self.bucket_of(card := new_card()) <= last:
            pass
        return card

    def owners(self) -> PostgresOwners:
        return PostgresOwners(self.url, self.settings.seal_key)


class Owner(RunningSwitch):
    """One process. arguments: of `vafa switch run`, beside those that all have."""

    def __init__(self, sharing: Sharing, buckets: str, module: str = "tools.cli") -> None:
        self.sharing = sharing
        self.buckets = buckets
        self.directory = sharing.home / buckets
        self.module = module
        self.settings = sharing.settings
        self.keys = sharing.keys
        self.begin()

    @staticmethod
    def arguments(config: Path, data: Path, buckets: str) -> list[str]:
        """Of `vafa switch run`."""
        return ["--config", str(config), "--data", str(data), "--port", "0", "--buckets", buckets]

    def command(self) -> list[str]:
        run = [sys.executable, "-m", self.module, "switch", "run"]
        return [*run, *self.arguments(self.sharing.path, self.directory, self.buckets)]

    def freeze(self) -> None:
        """SIGSTOP: it stands still until `thaw`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        code = self.process.wait()
        self._reading.join()
        return code
