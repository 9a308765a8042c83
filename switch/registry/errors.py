"""How the registry refuses: what, where, and what to do next."""

from __future__ import annotations

from switch.settings import SettingsError


class RegistryError(SettingsError):
    """The registry can't be used or changed so. Text: what, where; try_next: what to do."""

    def __init__(self, what: str, try_next: str = "") -> None:
        super().__init__(what)
        self.try_next = try_next

    def __str__(self) -> str:
        what = super().__str__()
        return f"{what}; {self.try_next}" if self.try_next else what

    @property
    def what(self) -> str:
        return super().__str__()


class ChangeRefused(RegistryError):
    """A change that can't be: nothing was changed."""
