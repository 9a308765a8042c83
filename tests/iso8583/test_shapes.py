"""The generated functions: they agree with the reference, come only with use, and never pile up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switch.iso8583 import DecodeError, Dialect, EncodeError, Message, load, shapes
from switch.iso8583.message import Value
from switch.iso8583.shape_source import DOUBTS
from tests.iso8583 import any_dialect, shape_agreement
from tests.iso8583.oracle import SAMPLES, sample
from tests.iso8583.strategies import damage, messages
from tests.whole import WHOLE

MUTATED_MESSAGES = 100_000  # over all dialects
BOUND = 2 * shapes.SHAPES_IN_A_GENERATION
EARN = sample("earn, swiped, odd track 2")
ANSWER = sample("earn answer")


@pytest.fixture
def vafa() -> Dialect:
    """A dialect whose functions are nobody else's."""
    return Dialect(load("vafa").dictionary)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every shape is made on its first use."""
    monkeypatch.setattr(shapes, "USES_BEFORE_COMPILING", 1)


def use(dialect: Dialect, data: bytes, times: int = shapes.USES_BEFORE_COMPILING) -> Message:
    for _ in range(times):
        message = dialect.decode(data)
        dialect.encode(message)
        dialect.encode_body(message)
        dialect.walk(data)
        dialect.peek(data, ("mti", "11"))
        dialect.check(message)
    return message


def caches(dialect: Dialect) -> list[shapes.Hot]:  # type: ignore[type-arg]
    kept = dialect.shapes
    return [kept.decoders, kept.encoders, kept.body_encoders, kept.walkers, kept.peekers, kept.complete]


# ---------------------------------------------------------------- agreement


@pytest.mark.parametrize("name", shape_agreement.names())
def test_fast_and_reference_agree_on_damaged_messages(name: str) -> None:
    share = -(-MUTATED_MESSAGES // len(shape_agreement.names()))
    count = shape_agreement.compare(name, share, seed=8583)
    assert count.messages >= share
    assert count.accepted > share // 10, "damage that nothing survives shows little"
    if name not in shape_agreement.WITHOUT_SHAPES:
        assert count.fast > count.accepted // 3, "the generated functions were hardly asked"


EAGER = Dialect(load("vafa").dictionary)
FIELD_ORDERS = st.randoms(use_true_random=False)


@pytest.mark.usefixtures("eager")
@settings(max_examples=300 if WHOLE else 150)
@given(messages(), FIELD_ORDERS)
def test_any_message_any_order_of_fields(message: Message, random: Random) -> None:
    names = list(message.fields)
    random.shuffle(names)
    shuffled = Message(message.mti, {name: message.fields[name] for name in names})
    data = Dialect.encode(EAGER, message)
    for _ in range(2):  # by the reference, which makes the shape; by the shape
        assert EAGER.encode(shuffled) == data
        assert EAGER.decode(data) == message
        assert EAGER.walk(data) == len(data)
        assert EAGER.encode_body(shuffled) == Dialect.encode_body(EAGER, message)
        assert EAGER.split_mac(data) == Dialect.split_mac(EAGER, data)
        assert EAGER.check(shuffled) == Dialect.check(EAGER, message)
        assert EAGER.check(shuffled, mac_required=False) == Dialect.check(EAGER, message, mac_required=False)


@pytest.mark.usefixtures("eager")
@settings(max_examples=300 if WHOLE else 150)
@given(messages(), FIELD_ORDERS)
def test_damage_behind_a_known_shape(message: Message, random: Random) -> None:
    data = Dialect.encode(EAGER, message)
    EAGER.decode(data)
    damaged = damage(data, random)
    for _ in range(2):
        given_fast = shape_agreement.outcome(EAGER.decode, damaged)
        assert given_fast == shape_agreement.outcome(Dialect.decode, EAGER, damaged)


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    for fast, reference in ((EAGER.decode, Dialect.decode), (EAGER.walk, Dialect.walk)):
        assert shape_agreement.outcome(fast, data) == shape_agreement.outcome(reference, EAGER, data)
    assert EAGER.split_mac(data) == Dialect.split_mac(EAGER, data)


@pytest.mark.usefixtures("eager")
def test_the_functions_do_the_work(vafa: Dialect) -> None:
    """Without the reference behind them: every sample is read and written by its function alone."""
    for entry in SAMPLES:
        data = bytes.fromhex(entry.hex)
        message = use(vafa, data, 2)
        kept = vafa.shapes
        size = 18 if data[2] & 0x80 else 10
        assert kept.decoders.young[data[:size]](data) == message
        assert kept.walkers.young[data[:size]](data) == len(data)
        assert kept.encoders.young[tuple(message.fields)](message.mti, message.fields) == data
        body, _mac = vafa.split_mac(data)
        assert kept.body_encoders.young[tuple(message.fields)](message.mti, message.fields) == body


@pytest.mark.usefixtures("eager")
def test_lengths_may_change_within_a_shape(vafa: Dialect) -> None:
    """The function expects the lengths it was made with, and is right with all others."""
    vafa.decode(EARN)
    track = vafa.decode(EARN)["35"]
    assert isinstance(track, str)
    for digits in range(1, 38):
        message = Message("0200", {**vafa.decode(EARN).fields, "35": track[:digits]})
        data = Dialect.encode(vafa, message)
        assert vafa.decode(data) == message == vafa.shapes.decoders.young[EARN[:10]](data)


@pytest.mark.usefixtures("eager")
def test_tags_in_a_known_order_and_in_others(vafa: Dialect) -> None:
    tags = {"01": "000000000250", "02": "000000000500", "04": "0101", "05": "000000010000"}
    for order in (("01", "02", "04", "05"), ("05", "04", "02", "01"), ("02", "01"), ("01", "02"), ()):
        message = Message("0210", {"11": "000004", "48": {name: tags[name] for name in order}})
        data = Dialect.encode(vafa, message)
        for _ in range(3):
            assert vafa.encode(message) == data
            decoded = vafa.decode(data)
            assert list(decoded.fields["48"]) == list(order)
            assert decoded == message


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["vafa", "kitchen-sink"])
def test_what_was_complete_says_nothing_of_another_message(name: str) -> None:
    """Of one with other fields, other tags or another DE 3: `check` judges what its conditions see anew."""
    one, random = Dialect(any_dialect.dialect(name).dictionary), Random(5)
    if name == "vafa":
        bases = [Dialect.decode(one, bytes.fromhex(entry.hex)) for entry in SAMPLES]
    else:
        fields = one.dictionary.fields
        asked = [fields[number] for number in (3, 4, 22, 35, 36, 48)]
        values = [{str(field.number): any_dialect.value(field, random) for field in asked} for _ in range(40)]
        bases = [Message("0200", each, one.dictionary) for each in values]
    complete = 0
    for _ in range(4000):
        base, other = random.choice(bases), random.choice(bases).fields
        kept = {number: value for number, value in base.fields.items() if random.random() < 0.9}
        kept |= {number: other[number] for number in random.sample(sorted(other), 1)}
        for number, value in kept.items():
            if isinstance(value, Mapping) and random.random() < 0.3:
                kept[number] = {key: value[key] for key in value if random.random() < 0.8}
        message = Message(base.mti, kept, one.dictionary)
        found = one.check(message)
        assert found == Dialect.check(one, message)
        assert one.check(message) == found
        complete += not found
    assert 100 < complete < 3900


# ---------------------------------------------------------------- only after repeated use


def test_a_shape_is_made_after_repeated_use_only(vafa: Dialect) -> None:
    use(vafa, EARN, shapes.USES_BEFORE_COMPILING - 1)
    assert [len(cache) for cache in caches(vafa)] == [0, 0, 0, 0, 0, 0]
    use(vafa, EARN, 1)
    assert [len(cache) for cache in caches(vafa)] == [1, 1, 1, 1, 1, 1]


def test_messages_that_are_refused_earn_no_shape(vafa: Dialect) -> None:
    for _ in range(shapes.USES_BEFORE_COMPILING * 2):
        with pytest.raises(DecodeError):
            vafa.decode(EARN + b"\0")
        with pytest.raises(DecodeError):
            vafa.walk(EARN + b"\0")
        with pytest.raises(DecodeError):
            vafa.peek(EARN[:-1], ("11",))
    assert [len(cache) for cache in caches(vafa)] == [0, 0, 0, 0, 0, 0]


def test_a_shape_is_made_once(vafa: Dialect) -> None:
    use(vafa, EARN)
    made = vafa.shapes.decoders.young[EARN[:10]]
    with pytest.raises(DecodeError):
        vafa.decode(EARN + b"\0")  # in doubt, so the reference was asked
    use(vafa, EARN)
    assert vafa.shapes.decoders.young[EARN[:10]] is made


def test_two_dialects_share_nothing(vafa: Dialect) -> None:
    use(vafa, EARN)
    assert len(Dialect(vafa.dictionary).shapes.decoders) == 0


# ---------------------------------------------------------------- bounds under hostile bitmaps


def strangers(count: int) -> Iterator[tuple[Message, bytes]]:
    """Valid messages, each with a bitmap of its own."""
    dialect = load("vafa")
    values: dict[str, Value] = {}
    for entry in SAMPLES:
        values.update(Dialect.decode(dialect, bytes.fromhex(entry.hex)).fields)
    names = [name for name in values if name not in ("48", "64", "128")]
    random = Random(1)
    seen: set[frozenset[str]] = set()
    while len(seen) < count:
        chosen = frozenset(random.sample(names, random.randint(3, 14)))
        if chosen not in seen:
            seen.add(chosen)
            message = Message("0200", {name: values[name] for name in sorted(chosen, key=int)})
            yield message, Dialect.encode(dialect, message)


def test_bitmaps_seen_once_cost_nothing_that_stays(vafa: Dialect) -> None:
    for message, data in strangers(2 * shapes.COUNTED_MAXIMUM):
        assert vafa.decode(data) == message
        assert vafa.encode(message) == data
        assert vafa.walk(data) == len(data)
        vafa.peek(data, ("mti", "11"))
    for cache in caches(vafa):
        assert len(cache) == 0
        assert len(cache._uses) <= shapes.COUNTED_MAXIMUM


@pytest.mark.usefixtures("eager")
def test_functions_stay_bounded_and_those_in_use_stay(vafa: Dialect) -> None:
    use(vafa, EARN, 2)
    mine = vafa.shapes.decoders.young[EARN[:10]]
    for message, data in strangers(3 * BOUND):
        assert vafa.decode(data) == message
        assert vafa.encode(message) == data
        assert vafa.encode_body(message) == Dialect.encode_body(vafa, message)
        assert vafa.walk(data) == len(data)
        vafa.peek(data, ("mti", "11"))
        vafa.decode(EARN)
        assert all(len(cache) <= BOUND for cache in caches(vafa))
    assert vafa.shapes.decoders.young[EARN[:10]] is mine, "what is used stays"
    assert len(vafa.shapes.decoders) > shapes.SHAPES_IN_A_GENERATION, "the flood did fill the cache"


@pytest.mark.usefixtures("eager")
def test_only_four_digits_are_remembered_as_mti(vafa: Dialect) -> None:
    fields = vafa.decode(EARN).fields
    vafa.encode(Message("0200", fields))
    for mti in ("02000", "020", "", "02 0", "\u0660200", "020a", "+200"):
        for _ in range(2):
            with pytest.raises(EncodeError):
                vafa.encode(Message(mti, fields))
    assert list(vafa.shapes._mtis) == ["0200"]
    assert vafa.encode(Message("9876", fields))[:2] == b"\x98\x76"


@pytest.mark.usefixtures("eager")
def test_orders_of_tags_stay_bounded(vafa: Dialect) -> None:
    known = sorted(vafa.dictionary.fields[48].tags)
    values = shape_agreement.value_of
    random = Random(5)
    tags = vafa.dictionary.fields[48].tags
    for _ in range(3 * BOUND):
        chosen = random.sample(known, random.randint(1, min(5, len(known))))
        message = Message("0210", {"48": {name: values(tags[name], random) for name in chosen}})
        data = vafa.encode(message)
        assert data == Dialect.encode(vafa, message)
        assert vafa.decode(data) == message
    shape = vafa.shapes.tags["48"]
    assert 0 < len(shape.writers) <= BOUND
    assert 0 < len(shape.readers) <= BOUND


# ---------------------------------------------------------------- what gets out


def refusal(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except (DecodeError, EncodeError) as error:
        return error
    return None


def test_errors_carry_nothing_of_a_doubt_before_them(vafa: Dialect) -> None:
    """What a generated function stumbled over holds bytes of the message: no error keeps it."""
    card = "9364001234567890123"
    message = Message("0220", {**vafa.decode(EARN).fields, "2": card})
    data = vafa.encode(message)
    use(vafa, data)
    random = Random(11)
    refused = 0
    for number in range(3000):
        damaged = damage(data, random)
        spoiled = Message("0220", dict(shape_agreement.spoil(message.fields, random)))
        calls = (
            lambda damaged=damaged: vafa.decode(damaged),
            lambda damaged=damaged: vafa.walk(damaged),
            lambda damaged=damaged: vafa.peek(damaged, ("mti", "11")),
            lambda spoiled=spoiled: vafa.encode(spoiled),
            lambda spoiled=spoiled: vafa.encode_body(spoiled),
        )
        error = refusal(calls[number % len(calls)])
        refused += error is not None
        while error is not None:  # the error and all that it was made in or from
            assert not isinstance(error, AttributeError | LookupError | TypeError | UnicodeError)
            assert type(error) is not ValueError
            assert card[:8] not in repr(error) + str(error)
            error = error.__cause__ or error.__context__
    assert refused > 1000


# ---------------------------------------------------------------- what goes in


@pytest.mark.parametrize("data", [bytearray(EARN), memoryview(EARN)], ids=["bytearray", "memoryview"])
def test_other_kinds_of_bytes_read_the_same(vafa: Dialect, data: bytes) -> None:
    use(vafa, EARN)
    assert vafa.decode(data) == vafa.decode(EARN)
    assert vafa.walk(data) == len(EARN)


def test_no_value_of_a_message_gets_into_a_source(vafa: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    original = shapes.Reading.compiled

    def noting(self: shapes.Reading, head: str) -> object:
        texts.append("\n".join(self.lines))
        return original(self, head)

    monkeypatch.setattr(shapes.Reading, "compiled", noting)
    monkeypatch.setattr(shapes.Writing, "compiled", noting)
    message = use(vafa, EARN)
    assert len(texts) == 5
    for value in message.fields.values():
        shown = value if isinstance(value, str) else repr(value)
        for text in texts:
            assert shown not in text or len(shown) < 4


def test_a_function_in_doubt_raises_what_is_caught(vafa: Dialect) -> None:
    use(vafa, ANSWER)
    function = vafa.shapes.decoders.young[ANSWER[:10]]
    random = Random(7)
    for _ in range(3000):
        try:
            function(damage(ANSWER, random))
        except DOUBTS:
            continue
