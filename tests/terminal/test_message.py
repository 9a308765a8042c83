"""Messages on the firmware's side: known bytes both ways, what errors name, damage, no growth.

The samples are some of tests/vectors/messages.json; all of them meet both codecs in tests/iso8583.
"""

import gc
from binascii import unhexlify

from terminal.message import DecodeError, EncodeError, pack, split_mac, unpack
from terminal.message_tables import TAG_POINTS, TAG_SWITCH_DATE_TIME
from terminal.message_texts import meaning

MAC = unhexlify("a1b2c3d4e5f60718")

# MTI, fields without the MAC, the message as hex
SAMPLES = (
    (
        "0200",
        {
            3: "210060",
            4: "000002500000",
            11: "000004",
            12: "204514",
            13: "1121",
            22: "021",
            24: "003",
            25: "00",
            35: "9364001234567890=29121010000012345678",
            41: "10000001",
            42: "100000000000001",
            49: "364",
            60: "000001",
        },
        "02003038058020c08011210060000002500000000004204514112100210003003793640012345678"
        "90d29121010000012345678f313030303030303131303030303030303030303030303103640006000001"
        "a1b2c3d4e5f60718",
    ),
    (
        "0420",
        {
            2: "9364001234567890123",
            3: "006000",
            4: "000000010000",
            11: "000010",
            12: "204517",
            13: "1121",
            41: "10000001",
            42: "100000000000001",
            48: {TAG_POINTS: "000000000100"},
            49: "364",
            60: "000001",
            62: "7",
            90: "020000000711212045170000000000000000000000",
            128: None,
        },
        "0420f038000000c1801400000040000000011993640012345678901"
        "23f006000000000010000000010204517112131303030303030313130303030303030303030303030"
        "310008010600000000010003640006000001000137020000000711212045170000000000000000000000"
        "a1b2c3d4e5f60718",
    ),
    (
        "0810",
        {
            11: "000001",
            12: "204512",
            39: "00",
            41: "10000001",
            48: {TAG_SWITCH_DATE_TIME: "20261121204512", 0x11: "0001", 0x12: "00000100", 0xA0: b"\x00\xff"},
        },
        "08100030000002810001000001204512303031303030303030310023100720261121204512110200011204"
        "00000100a00200ffa1b2c3d4e5f60718",
    ),
)

# the message as hex, what is wrong with it: where, and from which byte on
FAULTS = (
    ("", "mti", 0),
    ("02a0", "mti", 1),
    ("020030", "bitmap", 2),
    ("02008020000000000000" + "00" * 8 + "000001", "bitmap", 10),
    ("02000800000000000000", "5", 2),
    ("02000020000000000000" + "00c001", "11", 11),
    ("02004000000000000000" + "20" + "93640012345678901234", "2", 10),
    ("02004000000000000000" + "19" + "93640012345678901230", "2", 20),
    ("02000000000000010000" + "0006" + "7f01aa7f01aa", "48.7F", 15),
    ("02000000000000010000" + "0002" + "01ff", "48.01", 13),
    ("02000000000002000000" + "3fb2", "39", 10),
    ("02000020000000000000" + "00000100", "message", 13),
)


def samples():
    for mti, fields, data in SAMPLES:
        fields = dict(fields)
        if fields.get(128, 0) is None:
            del fields[128]
        yield mti, fields, unhexlify(data)


def test_the_bytes_are_known():
    for mti, fields, data in samples():
        assert pack(mti, fields, lambda body: MAC) == data


def test_the_mac_covers_all_before_it():
    for mti, fields, data in samples():
        covered = []

        def mac(body, covered=covered):
            covered.append(body)
            return MAC

        pack(mti, fields, mac)
        assert covered == [data[:-8]]
        assert split_mac(data) == (data[:-8], MAC)


def test_the_fields_come_back():
    for mti, fields, data in samples():
        place = 128 if data[2] & 0x80 else 64
        fields[place] = MAC
        assert unpack(data) == (mti, fields)
        assert pack(mti, fields) == data


def test_faults_are_named_by_place():
    for data, path, offset in FAULTS:
        try:
            unpack(unhexlify(data))
        except DecodeError as error:
            assert str(error) == "%s at byte %d" % (path, offset)
            assert (error.path, error.offset, error.response_code) == (path, offset, "30")
            assert isinstance(error, ValueError)
        else:
            raise AssertionError("accepted: " + data)


def test_every_cut_is_refused():
    for _mti, _fields, data in samples():
        for size in range(len(data)):
            try:
                unpack(data[:size])
            except DecodeError as error:
                assert 0 <= error.offset <= size
            else:
                raise AssertionError("accepted at %d bytes" % size)


def test_damage_is_refused_or_read_but_never_stops_the_firmware():
    state = 8583
    outcomes = [0, 0]
    for _mti, _fields, data in samples():
        for _ in range(300):
            damaged = bytearray(data)
            for _ in range(2):
                state = (state * 1103515245 + 12345) & 0x3FFFFFFF
                damaged[(state >> 8) % len(damaged)] = (state >> 16) & 0xFF
            damaged = bytes(damaged)
            try:
                mti, fields = unpack(damaged)
            except DecodeError:
                outcomes[0] += 1
            else:
                outcomes[1] += 1
                assert unpack(pack(mti, fields)) == (mti, fields)
    assert outcomes[0] > 100
    assert outcomes[1] > 100


def test_what_cant_be_sent_is_refused():
    for fields, path in (
        ({11: "12345"}, "11"),
        ({11: "12345a"}, "11"),
        ({11: 123456}, "11"),
        ({5: "1"}, "message"),
        ({35: "9364D2912"}, "35"),
        ({39: "0\n"}, "39"),
        ({48: {1: "1"}}, "48.01"),
        ({48: {0x7F: "1"}}, "48.7F"),
        ({48: {0x7F: bytes(250), 0x7E: bytes(2)}}, "48"),
        ({48: {256: b""}}, "48"),
        ({48: b""}, "48"),
        ({52: bytes(15)}, "52"),
        ({64: MAC}, "64"),
    ):
        try:
            pack("0200", fields, lambda body: MAC)
        except EncodeError as error:
            assert error.path == path, error.path
        else:
            raise AssertionError("packed: " + path)


def test_errors_show_no_card_number():
    try:
        pack("0200", {2: "93640012345678x0"})
    except EncodeError as error:
        assert str(error) == "2 can't be packed"
    else:
        raise AssertionError("packed")
    try:
        unpack(unhexlify("02004000000000000000" + "16" + "93640012d4567890"))
    except DecodeError as error:
        assert str(error) == "2 at byte 15"
    else:
        raise AssertionError("accepted")


def test_ten_thousand_messages_leave_no_memory_behind():
    # CPython has no such count: there the messages are only right
    allocated = getattr(gc, "mem_alloc", lambda: 0)
    parts = [(mti, fields, data) for mti, fields, data in samples()]

    def turn():
        for mti, fields, data in parts:
            assert pack(mti, fields, lambda body: MAC) == data
            unpack(data)

    turn()
    gc.collect()
    before = allocated()
    for _ in range(3334):
        turn()
    gc.collect()
    assert allocated() <= before + 512  # a few blocks of the collector's own wandering


def test_codes_are_told_in_both_languages():
    assert meaning("51") == ("Not enough points", "امتیاز کافی نیست")
    assert meaning("0101")[0] == "1 point for every {0} rial"
    assert meaning("") is meaning("0000") is None
