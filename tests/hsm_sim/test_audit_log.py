"""An audit log shows every edit, gap, swap and cut; and no secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from switch.hsm_sim.audit import AuditError, AuditEvent, AuditLog, verify

KEY = bytes(range(32))
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


def written(path: Path, count: int = 5) -> list[str]:
    log = AuditLog(path, KEY)
    for number in range(count):
        log.record(AuditEvent("key generated", {"key": "P0", "kcv": f"{number:06X}"}), START)
    log.close()
    return path.read_text().splitlines()


def head(path: Path) -> str:
    return path.with_name("audit.log.head").read_text()


def test_an_untouched_log_verifies_and_is_carried_on(path: Path) -> None:
    written(path)
    log = AuditLog(path, KEY)
    log.record(AuditEvent("started", {}))
    log.close()
    assert verify(path.read_text().splitlines(), KEY, head(path)).records == 6
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", range(5))
@pytest.mark.parametrize("field", ["time", "what", "key", "kcv", "seal"])
def test_an_edited_line_is_found(path: Path, line: int, field: str) -> None:
    lines = written(path)
    fields = json.loads(lines[line])
    fields[field] = "9" * len(fields[field])
    lines[line] = json.dumps(fields)
    with pytest.raises(AuditError, match=f"line {line + 1} was changed"):
        verify(lines, KEY, head(path))


@pytest.mark.parametrize("line", range(4))
def test_a_line_taken_out_is_found(path: Path, line: int) -> None:
    lines = written(path)
    del lines[line]
    with pytest.raises(AuditError):
        verify(lines, KEY, head(path))


def test_lines_cut_off_at_the_end_are_found_by_the_head(path: Path) -> None:
    lines = written(path)
    assert verify(lines[:-2], KEY).records == 3
    with pytest.raises(AuditError, match="cut off"):
        verify(lines[:-2], KEY, head(path))
    path.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(AuditError, match="cut off"):
        AuditLog(path, KEY)


def test_swapped_repeated_and_foreign_lines_are_found(path: Path, tmp_path: Path) -> None:
    lines = written(path)
    (tmp_path / "other").mkdir()
    other = written(tmp_path / "other" / "audit.log")
    for changed in (
        [lines[1], lines[0], *lines[2:]],
        [lines[0], *lines],
        [*lines[:4], "not json"],
        [*lines[:4], "[]"],
    ):
        with pytest.raises(AuditError):
            verify(changed, KEY)
    assert other == lines  # the same events at the same time are the same chain
    with pytest.raises(AuditError, match="another key"):
        verify(lines, bytes(32))


def test_a_record_whose_head_was_not_written_any_more_is_kept(path: Path) -> None:
    written(path, 3)
    old = head(path)
    log = AuditLog(path, KEY)
    log.record(AuditEvent("started", {}))
    log.close()
    path.with_name("audit.log.head").write_text(old)
    log = AuditLog(path, KEY)
    assert log.chain.records == 4
    log.close()


def test_a_missing_head_is_not_taken_for_a_new_log(path: Path) -> None:
    written(path)
    path.with_name("audit.log.head").unlink()
    with pytest.raises(AuditError, match="missing"):
        AuditLog(path, KEY)


def test_a_clock_that_jumps_back_is_recorded_as_it_is(path: Path) -> None:
    log = AuditLog(path, KEY)
    log.record(AuditEvent("one", {}), START)
    log.record(AuditEvent("two", {}), START - timedelta(days=1))
    log.close()
    times = [json.loads(line)["time"] for line in path.read_text().splitlines()]
    assert times[1] < times[0]
    assert verify(path.read_text().splitlines(), KEY, head(path)).records == 2


def test_a_detail_can_not_break_out_of_its_line(path: Path) -> None:
    log = AuditLog(path, KEY)
    log.record(AuditEvent("refused", {"reason": 'x"\n{"n": 9}' + "y" * 1000}))
    log.close()
    assert len(path.read_text().splitlines()) == 1
    assert len(path.read_text()) < 600
    assert verify(path.read_text().splitlines(), KEY, head(path)).records == 1


def test_two_boxes_do_not_write_one_log(path: Path) -> None:
    log = AuditLog(path, KEY)
    with pytest.raises(AuditError, match="another box"):
        AuditLog(path, KEY)
    log.close()
    AuditLog(path, KEY).close()


@pytest.mark.parametrize("left", [1, 40, -1])
def test_a_record_cut_by_a_stop_is_dropped_and_the_log_carried_on(path: Path, left: int) -> None:
    lines = written(path, 2)
    with path.open("a") as file:
        file.write(lines[0][:left])
    log = AuditLog(path, KEY)
    log.record(AuditEvent("started", {}))
    log.close()
    assert verify(path.read_text().splitlines(), KEY, head(path)).records == 3


def test_names_in_any_script_stay_and_nothing_hides_a_line(path: Path) -> None:
    officers = "سارا کریمی, علی\u200cرضا, Zoë"
    log = AuditLog(path, KEY)
    log.record(AuditEvent("authorised", {"officers": officers, "note": "a\nb\x1b[2J\u202e\u2028\ud800é"}))
    log.close()
    text = path.read_text("ascii")
    assert text.count("\n") == 1
    fields = json.loads(text)
    assert fields["officers"] == officers
    assert fields["note"] == "a?b?[2J???é"
    assert verify([text], KEY, head(path)).records == 1
