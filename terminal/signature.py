"""Signatures of ECDSA on P-256 with SHA-256, checked: whose software and whose settings these are.

FIPS 186-5 clause 6.4.2, curve of SP 800-186. Numbers of Python are enough: a check takes a second
on a small board, and happens once for an update. Nothing here is secret, so nothing has to take
equal time. It can't sign.
"""

SIGNATURE_BYTES = 64  # r and s, 32 bytes each
KEY_BYTES = 64  # x and y, 32 bytes each

_P = (1 << 256) - (1 << 224) + (1 << 192) + (1 << 96) - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
_GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5


def is_signed(key, digest, signature):
    """Whether `signature` is one of `key` over a SHA-256 digest. Anything that can't be one is none."""
    if len(key) != KEY_BYTES or len(digest) != 32 or len(signature) != SIGNATURE_BYTES:
        return False
    x, y = _number(key[:32]), _number(key[32:])
    r, s = _number(signature[:32]), _number(signature[32:])
    if not (0 < r < _N and 0 < s < _N and _is_on_curve(x, y)):
        return False
    inverse = _inverse(s, _N)
    point = _sum_of_products(_number(digest) * inverse % _N, r * inverse % _N, (x, y, 1))
    if not point[2]:
        return False
    # x of the point, without its division: r or r + n times z squared.
    square = point[2] * point[2] % _P
    while r < _P:
        if (point[0] - r * square) % _P == 0:
            return True
        r += _N
    return False


def _number(data):
    return int.from_bytes(data, "big")


def _is_on_curve(x, y):
    if not (x < _P and y < _P):
        return False
    return (y * y - (x * x * x - 3 * x + _B)) % _P == 0


def _inverse(number, modulus):
    """By Euclid's algorithm."""
    low, high = number % modulus, modulus
    one, other = 1, 0
    while low > 1:
        ratio = high // low
        low, high = high - ratio * low, low
        one, other = other - ratio * one, one
    return one % modulus


# ---------------------------------------------------------------- points, as (X, Y, Z): x = X/Z^2, y = Y/Z^3

_NOWHERE = (1, 1, 0)


def _sum_of_products(first, second, key):
    """first times the base point and second times the key: both at once, two bits of each at a time."""
    base = (_GX, _GY, 1)
    multiples = _small_multiples(base, key)
    point = _NOWHERE
    for shift in range(254, -1, -2):
        point = _doubled(_doubled(point))
        which = (first >> shift & 3) << 2 | second >> shift & 3
        if which:
            point = _added(point, multiples[which])
    return point


def _small_multiples(base, key):
    """i times the base point and j times the key, at 4 i + j; both below 4."""
    rows = [_NOWHERE, base, _doubled(base)]
    rows.append(_added(rows[2], base))
    columns = [_NOWHERE, key, _doubled(key)]
    columns.append(_added(columns[2], key))
    return [_added(row, column) for row in rows for column in columns]


def _doubled(point):
    x, y, z = point
    if not z:
        return point
    square = y * y % _P
    four = 4 * x * square % _P
    zz = z * z % _P
    slope = 3 * (x - zz) * (x + zz) % _P
    new_x = (slope * slope - 2 * four) % _P
    new_y = (slope * (four - new_x) - 8 * square * square) % _P
    return new_x, new_y, 2 * y * z % _P


def _added(one, other):
    if not one[2]:
        return other
    if not other[2]:
        return one
    x1, y1, z1 = one
    x2, y2, z2 = other
    zz1, zz2 = z1 * z1 % _P, z2 * z2 % _P
    u1, u2 = x1 * zz2 % _P, x2 * zz1 % _P
    s1, s2 = y1 * zz2 * z2 % _P, y2 * zz1 * z1 % _P
    if u1 == u2:
        return _doubled(one) if s1 == s2 else _NOWHERE
    h, r = u2 - u1, s2 - s1
    hh = h * h % _P
    hhh = h * hh % _P
    v = u1 * hh % _P
    x = (r * r - hhh - 2 * v) % _P
    return x, (r * (v - x) - s1 * hhh) % _P, h * z1 * z2 % _P
