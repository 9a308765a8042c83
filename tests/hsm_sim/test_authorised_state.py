"""Two officers, one activity, limited time: nothing less opens key management, and RA closes it."""

from __future__ import annotations

import pytest

from switch.hsm_sim.authorised import AuthorisationError, AuthorisedState, activity_named
from tests.hsm_sim.boxes import ODD, VARIANT, Box, tdes_token

ZMK = tdes_token(ODD, "K0", "B")
ZPK = tdes_token(bytes(reversed(ODD)), "P0", "B")
OTHER = bytes.fromhex("02" * 16)
ZPK_COMPONENTS = "".join(VARIANT.wrap(part, "001", "U") for part in (ODD, OTHER))
EXPORT = f"A8FFF{ZMK}{ZPK}S%01"


def test_what_two_officers_allow_is_allowed_until_the_time_is_up() -> None:
    box = Box()
    assert box.code(EXPORT) == "17"
    box.state.authorised.authorise(["export.P0"], ("one", "two"), 10, box.now)
    assert box.code(EXPORT) == "00"
    box.now += 599
    assert box.code(EXPORT) == "00"
    box.now += 1
    assert box.code(EXPORT) == "17"


def test_another_activity_or_key_stays_closed() -> None:
    box = Box()
    box.state.authorised.authorise(["export.D0", "import.P0", "generate"], ("one", "two"), 10, box.now)
    assert box.code(EXPORT) == "17"
    assert box.code("A00FFFS%01#K0T2B00E00") == "00"


def test_ra_closes_everything_and_is_recorded() -> None:
    box = Box(authorised=True)
    assert box.code(EXPORT) == "00"
    assert box.ask("RA") == "RB00"
    assert box.code(EXPORT) == "17"
    assert [event.what for event in box.recorded] == ["key exported", "authorisation cancelled"]


@pytest.mark.parametrize(
    "officers",
    [(), ("one",), ("one", "one"), ("one", "ONE"), ("one", "one "), ("one", "0ne"), ("one", "оne")],
)
def test_one_officer_is_not_two(officers: tuple[str, ...]) -> None:
    state = AuthorisedState()
    with pytest.raises(AuthorisationError, match="two different officers"):
        state.authorise(["export"], officers, 10, 0.0)
    assert not state.allows("export", "P0", 0.0)


@pytest.mark.parametrize("minutes", [0, -1, 721])
def test_a_period_has_limits(minutes: int) -> None:
    with pytest.raises(AuthorisationError, match="1 to 720 minutes"):
        AuthorisedState().authorise(["export"], ("one", "two"), minutes, 0.0)


@pytest.mark.parametrize("name", ["", "print", "export.", "export.P0.console", "export.TOOLONG", "export P0"])
def test_an_unknown_activity_is_refused(name: str) -> None:
    with pytest.raises(AuthorisationError, match="no activity"):
        AuthorisedState().authorise([name], ("one", "two"), 10, 0.0)


def test_nothing_at_all_is_no_activity() -> None:
    with pytest.raises(AuthorisationError, match="at least one"):
        AuthorisedState().authorise([], ("one", "two"), 10, 0.0)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("export", "export.*.host"),
        ("generate.k0", "generate.K0.host"),
        ("component.002.host", "component.002.host"),
    ],
)
def test_an_activity_may_be_typed_short(typed: str, name: str) -> None:
    assert activity_named(typed) == name


def test_a_clock_that_jumps_back_gives_no_more_time_than_was_allowed() -> None:
    state = AuthorisedState()
    state.authorise(["export"], ("one", "two"), 10, 1000.0)
    state.authorise(["export"], ("one", "two"), 1, 1000.0)
    assert state.active(1000.0) == {"export.*.host": 600}
    assert state.allows("export", "P0", 0.0)
    assert not state.allows("export", "P0", 1600.0)


def test_what_holds_is_the_longest_period_that_includes_an_activity() -> None:
    state = AuthorisedState()
    state.authorise(["export"], ("one", "two"), 15, 0.0)
    (name,) = state.authorise(["export.P0"], ("one", "two"), 1, 0.0)
    assert state.seconds_left(name, 4.0) == 896
    assert state.seconds_left("import.P0.host", 4.0) == 0
    state.cancel()
    assert state.seconds_left(name, 4.0) == 0


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        ("A00002U", True),  # a terminal key: nobody has to be there
        ("A00009U", True),
        ("A00000U", False),  # a ZMK wraps others
        ("A00FFFS%01#P0T2B00E00", True),
        ("A00FFFS%01#K0T2B00E00", False),
        ("A00FFFS%02#K1A1B00E00", False),
        ("XYP0A1E%02", True),
        ("XYK0A1E%02", False),
        (f"A01FFFS0{ZMK}S%01#P0T2B00E00", False),  # leaves the box at once
        (f"A6001{VARIANT.wrap(ODD, '000', 'U')}X{ODD.hex().upper()}U", True),
        (f"A6000{VARIANT.wrap(ODD, '000', 'U')}X{ODD.hex().upper()}U", False),
        (f"A42001U{ZPK_COMPONENTS}", False),
        (f"BUFF1{VARIANT.wrap(ODD, '001', 'U')};001;001", True),
        (f"BUFF1{VARIANT.wrap(ODD, '001', 'U')};001;000", False),
        (f"BUFF1{VARIANT.wrap(ODD, '001', 'U')};001", False),
        (f"CC{ZPK}{ZPK}12{'0' * 16}0101400000123456%01", True),  # PIN commands never ask
    ],
    ids=lambda value: value[:8] if isinstance(value, str) else None,  # tokens differ each time
)
def test_what_needs_officers(request_: str, allowed: bool) -> None:
    assert (Box().code(request_) != "17") is allowed
    assert Box(authorised=True).code(request_) in ("00", "01", "20")


def test_every_key_command_leaves_a_record_without_the_key() -> None:
    box = Box(authorised=True)
    box.ask(EXPORT)
    box.ask("A00002U")
    box.ask(f"A6001{VARIANT.wrap(ODD, '000', 'U')}X{ODD.hex().upper()}U")
    assert [event.what for event in box.recorded] == ["key exported", "key generated", "key imported"]
    text = repr(box.recorded)
    for secret in (ODD.hex(), ZMK[20:60], ZPK[20:60]):
        assert secret.upper() not in text.upper()


def test_when_the_audit_log_fails_nothing_is_given_out() -> None:
    from switch.hsm_sim.audit import AuditError, AuditEvent

    def broken(event: AuditEvent) -> None:
        raise AuditError("disk full")

    box = Box(authorised=True)
    box.machine.audit = broken
    assert box.ask(EXPORT) == "A941"
    assert box.ask("NC").startswith("ND00")
