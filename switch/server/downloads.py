"""What terminals are offered and sent of parameters and software, and what they say runs on them.

Which is whose stands in the registry; contents are mapped when it changes, off the event loop, so a piece
costs an authorization no more than a copy of some hundred bytes. Nothing here decides about money or keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from switch.registry import Content, Registry, RegistryError, open_content
from switch.registry.downloads import directory_of
from switch.server.log import Log
from switch.server.told import Told, ToldFile
from switch.settings import Settings

PARAMETERS_PIECE, SOFTWARE_PIECE = "901", "902"  # DE 70
# Tags of DE 48.
SOFTWARE, PARAMETERS, AT, COUNT = "30", "31", "32", "33"
SOFTWARE_OFFER, PARAMETERS_OFFER = "34", "35"
SOFTWARE_REFUSED, PARAMETERS_REFUSED, MODEL = "36", "37", "38"

APPROVED, NO_VERSION, NO_PIECE, FORMAT_ERROR = "00", "24", "29", "30"
LONGEST_PIECE: Final = 900  # of DE 61
USUAL_PIECE: Final = 512  # of a terminal that doesn't say
TOLD_FILE: Final = "told.jsonl"

# Why a terminal refused a version, by the number it tells; see terminal/downloads.py.
REASONS: Final = {
    1: "it came damaged",
    2: "a value is wrong",
    3: "it is no bundle, or not whole",
    4: "its signatures are not good",
    5: "it is for another model",
    6: "it is not newer",
    7: "a version between is needed",
    8: "it did not start",
}
Tags = Mapping[str, object]


class Known(NamedTuple):
    """A registry with its contents, by SHA-256. missing: why others can't be used."""

    registry: Registry
    contents: Mapping[str, Content]
    missing: tuple[str, ...]


class Downloads:
    """The downloads of one switch."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._known = Known(Registry(), {}, ())
        self._told = ToldFile(directory_of(settings) / TOLD_FILE)

    # ------------------------------------------------------------ which

    def read(self, registry: Registry) -> Known:
        """Map what is in use of it. Not for the event loop: it looks at every byte of what is new."""
        wanted: dict[str, int] = {}
        for group in registry.groups.values():
            if group.newest is not None:
                wanted[group.newest.digest] = group.newest.length
            for rollout in group.software:
                bundle = registry.bundles[f"{rollout.model}/{rollout.version}"]
                wanted[bundle.digest] = bundle.length
        contents, missing = {}, []
        for digest, length in wanted.items():
            try:
                contents[digest] = self._known.contents.get(digest) or open_content(
                    self._settings, digest, length
                )
            except RegistryError as error:
                missing.append(str(error))
        return Known(registry, contents, tuple(missing))

    def adopt(self, known: Known) -> None:
        """In use from now on."""
        for why in known.missing:
            if why not in self._known.missing:
                self._log.error("download not usable", alarm=True, reason=why)
        self._known = known

    # ------------------------------------------------------------ sign-on

    def at_sign_on(self, terminal: str, tags: Tags) -> dict[str, bytes]:
        """Tags of the answer: what there is for this terminal that it hasn't."""
        told = told_in(tags)
        self._note(terminal, told)
        offered: dict[str, bytes] = {}
        if told.parameters is not None:
            version = self._parameters_of(terminal)
            refused = told.parameters_refused
            if version and version[0] not in (told.parameters, refused and refused[0]):
                offered[PARAMETERS_OFFER] = _offer(*version)
        if told.software is not None:
            software = self._software_of(terminal, told.model)
            refused = told.software_refused
            if software and software[0] > told.software and software[0] != (refused and refused[0]):
                offered[SOFTWARE_OFFER] = _offer(*software)
        return offered

    def _parameters_of(self, terminal: str) -> tuple[int, str, Content] | None:
        newest = self._known.registry.group_of(terminal).newest
        if newest is None or (content := self._known.contents.get(newest.digest)) is None:
            return None
        return newest.version, newest.digest, content

    def _software_of(self, terminal: str, model: str) -> tuple[int, str, Content] | None:
        for rollout in self._known.registry.group_of(terminal).software:
            if rollout.model == model and rollout.reaches(terminal):
                bundle = self._known.registry.bundles[f"{model}/{rollout.version}"]
                content = self._known.contents.get(bundle.digest)
                return None if content is None else (bundle.version, bundle.digest, content)
        return None

    def _note(self, terminal: str, told: Told) -> None:
        """Keep what changed, wherever it signed on before; who watches a roll-out looks there."""
        self._told.look()
        before = self._told.newest.get(terminal)
        if told == before:
            return
        for what, refused, known in (
            ("software", told.software_refused, before and before.software_refused),
            ("parameters", told.parameters_refused, before and before.parameters_refused),
        ):
            if refused is not None and refused != known:
                why = REASONS.get(refused[1], f"reason {refused[1]}")
                self._log.warning(
                    f"{what} refused by a terminal", terminal=terminal, version=refused[0], reason=why
                )
        try:
            self._told.note(terminal, told)
        except OSError as error:
            self._log.error("what terminals run is not noted", error=str(error.strerror))

    # ------------------------------------------------------------ pieces

    def piece(self, code: str, terminal: str, tags: Tags) -> tuple[str, dict[str, str], bytes]:
        """(response code, tags, piece) for a request of one. Only what this terminal is offered is given."""
        version_tag = PARAMETERS if code == PARAMETERS_PIECE else SOFTWARE
        asked, at = _number(tags, version_tag), _number(tags, AT)
        count = _number(tags, COUNT)
        if asked is None or at is None or (code == SOFTWARE_PIECE and MODEL not in tags):
            return FORMAT_ERROR, {}, b""
        if code == PARAMETERS_PIECE:
            found = self._parameters_of(terminal)
        else:
            found = self._software_of(terminal, str(tags[MODEL]))
        if found is None or found[0] != asked:
            return NO_VERSION, {}, b""
        most = min(USUAL_PIECE if count is None else count, LONGEST_PIECE)
        piece = found[2].piece(at, most)
        if not piece:
            return NO_PIECE, {}, b""
        return APPROVED, {version_tag: f"{asked:08d}", AT: f"{at:08d}"}, piece


def _offer(version: int, digest: str, content: Content) -> bytes:
    return version.to_bytes(4, "big") + content.length.to_bytes(4, "big") + bytes.fromhex(digest)


def _number(tags: Tags, tag: str) -> int | None:
    return int(str(tags[tag])) if tag in tags else None


def told_in(tags: Tags) -> Told:
    """What a sign-on's tags say."""

    def refused(tag: str) -> tuple[int, int] | None:
        digits = str(tags[tag]) if tag in tags else ""
        return (int(digits[:8]), int(digits[8:])) if digits else None

    return Told(
        str(tags.get(MODEL, "")),
        _number(tags, SOFTWARE),
        _number(tags, PARAMETERS),
        refused(SOFTWARE_REFUSED),
        refused(PARAMETERS_REFUSED),
    )
