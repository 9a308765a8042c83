"""Every screen and receipt as a picture: recorded (--ui=record) or compared with the record (--ui=test).

In git are digests only. Pictures that are as recorded are kept under build/ui/recorded, so that a later run
can show them beside what came instead: build/ui/report.html.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.terminal.pictures import PAPER_DOTS, RECORDED, digest, receipts, screens
from tests.ui.report import Difference, gallery, png, report

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SCREEN_DOTS: Final = 128
INDEX: Final = ROOT / RECORDED
PICTURES: Final = ROOT / "build" / "ui"

Found = Mapping[str, tuple[str, bytes]]


def drawn() -> dict[str, tuple[str, bytes]]:
    """Key of every picture: its digest, the picture."""
    found = {}
    for key, _, canvas in screens():
        found[key] = (digest((canvas.dots,)), png(bytes(canvas.dots), SCREEN_DOTS))
    for key, _, strips in receipts():
        dots = b"".join(bytes(strip) for strip in strips)
        found[key] = (digest((dots,)), png(dots, PAPER_DOTS))
    return found


def record(found: Found, index: Path, pictures: Path) -> None:
    """What is drawn now is how it shall be."""
    digests = {key: mark for key, (mark, _) in sorted(found.items())}
    index.write_text(json.dumps(digests, indent=1) + "\n")
    keep(found, pictures)
    (pictures / "all.html").write_text(gallery({key: picture for key, (_, picture) in found.items()}))


def compare(found: Found, index: Path, pictures: Path) -> list[str]:
    """Keys of what differs from the record; a report tells how."""
    recorded = json.loads(index.read_text())
    keep({key: value for key, value in found.items() if recorded.get(key) == value[0]}, pictures)
    differences = []
    for key in sorted({*recorded, *found}):
        mark, actual = found.get(key, ("", None))
        if recorded.get(key) != mark:
            kept = pictures / "recorded" / f"{recorded.get(key)}.png"
            differences.append(Difference(key, kept.read_bytes() if kept.is_file() else None, actual))
    target = pictures / "report.html"
    if differences:
        target.write_text(report(differences))
    else:
        target.unlink(missing_ok=True)
    return [difference.key for difference in differences]


def keep(found: Found, pictures: Path) -> None:
    """Pictures by their digests, for reports of later."""
    (pictures / "recorded").mkdir(parents=True, exist_ok=True)
    for mark, picture in found.values():
        target = pictures / "recorded" / f"{mark}.png"
        if not target.exists():
            target.write_bytes(picture)


def test_every_picture_is_as_recorded(request: pytest.FixtureRequest) -> None:
    found = drawn()
    if request.config.getoption("--ui") == "record":
        record(found, INDEX, PICTURES)
    different = compare(found, INDEX, PICTURES)
    assert not different, (
        f"look at {PICTURES / 'report.html'}; when they are right: pytest tests/ui --ui=record"
    )


def test_a_changed_a_new_and_a_lost_picture_are_reported(tmp_path: Path) -> None:
    index = tmp_path / "pictures.json"
    found = {
        key: (f"{number:016d}", png(bytes((number,)) * 32, 16))
        for number, key in enumerate(("receipt/earn/fa", "screen/amount/en", "screen/points/en"))
    }
    record(found, index, tmp_path)
    assert compare(found, index, tmp_path) == []
    assert not (tmp_path / "report.html").exists()
    assert (tmp_path / "all.html").read_text().count("<img") == len(json.loads(index.read_text())) == 3
    recorded = json.loads(index.read_text())
    # The record has another picture for one, none for a second, and a third that isn't drawn any more.
    recorded["screen/amount/en"] = recorded["screen/points/en"]
    del recorded["receipt/earn/fa"]
    recorded["screen/gone/en"] = "f" * 16
    index.write_text(json.dumps(recorded))
    assert compare(found, index, tmp_path) == ["receipt/earn/fa", "screen/amount/en", "screen/gone/en"]
    page = (tmp_path / "report.html").read_text()
    # Expected, actual and what differs; actual alone; neither.
    assert page.count("<img") == 3 + 1
    assert page.count("<h2>") == 3
