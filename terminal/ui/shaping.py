"""Text as it is drawn: Persian letters in the forms that join, everything in the order of the dots.

Unicode 16: Arabic joining (core specification 9.2), presentation forms FB50 and FE70, and the
bidirectional algorithm (annex 9) for one line without explicit marks or brackets of its own level.
Pure; knows no font.
"""

_FIRST_RTL = "\u0590"
_ZWNJ, _ZWJ, _TATWEEL = 0x200C, 0x200D, 0x0640
_HEH, _HAMZA_ABOVE, _HEH_HAMZA = 0x0647, 0x0654, 0x06C0
_LAM = 0x0644
_LAM_ALEF = {0x0622: 0xFEF5, 0x0623: 0xFEF7, 0x0625: 0xFEF9, 0x0627: 0xFEFB}
_HAMZA, _HAMZA_FORM = 0x0621, 0xFE80  # joins nobody

# Where the forms of a letter begin (alone, last, first, middle), letters from 0622 on; 0: none. Those of
# two forms join the letter before only.
_FIRST, _LAST = 0x0622, 0x064A
_FORMS = (
    "fe81 fe83 fe85 fe87 fe89 fe8d fe8f fe93 fe95 fe99 fe9d fea1 fea5 fea9 feab fead feaf feb1 feb5 feb9 "
    "febd fec1 fec5 fec9 fecd 0 0 0 0 0 0 fed1 fed5 fed9 fedd fee1 fee5 fee9 feed feef fef1"
)
_PERSIAN = {
    0x067E: 0xFB56,
    0x0686: 0xFB7A,
    0x0698: 0xFB8A,
    0x06A9: 0xFB8E,
    0x06AF: 0xFB92,
    0x06C0: 0xFBA4,
    0x06CC: 0xFBFC,
}
_TWO_FORMS = tuple([ord(letter) for letter in "آأؤإاةدذرزوىژۀ"])
_JOINERS = (_ZWJ, _TATWEEL)
_MIRRORED = {0x28: 0x29, 0x29: 0x28, 0x5B: 0x5D, 0x5D: 0x5B, 0x3C: 0x3E, 0x3E: 0x3C, 0xAB: 0xBB, 0xBB: 0xAB}

_forms = tuple([int(form, 16) for form in _FORMS.split()])


def visual(text, is_rtl):
    """Code points from left to right, in their forms. is_rtl: the line begins on the right."""
    points = shaped(text)
    if not is_rtl and _is_plain(text):
        return points
    levels = _levels(points, 1 if is_rtl else 0)
    return _reordered(points, levels)


# ---------------------------------------------------------------- joining


def shaped(text):
    """Code points of a text with letters in their forms; in reading order. Marks that don't stand
    alone go."""
    if _is_plain(text):
        return [ord(letter) for letter in text]
    letters = _letters(text)
    out = []
    for place in range(len(letters)):
        point = letters[place]
        form = _form_of(point)
        if not form:
            if point not in (_ZWNJ, _ZWJ):
                out.append(_HAMZA_FORM if point == _HAMZA else point)
            continue
        before = place > 0 and _joins_next(letters[place - 1])
        after = place + 1 < len(letters) and _joins_before(letters[place + 1]) and _joins_next(point)
        if point > 0xFFFF:  # lam with an alef: alone or last
            out.append(form + before)
        else:
            out.append(form + (3 if before and after else 2 if after else 1 if before else 0))
    return out


def _is_plain(text):
    """Whether no letter of it joins others or is read from the right."""
    return all(letter < _FIRST_RTL for letter in text)


def _letters(text):
    """Code points without marks; lam and alef are one letter above FFFF, heh with a hamza is one."""
    out = []
    for letter in text:
        point = ord(letter)
        if point == _HAMZA_ABOVE and out and out[-1] == _HEH:
            out[-1] = _HEH_HAMZA
        elif 0x064B <= point <= 0x065F or point == 0x0670:
            continue
        elif point in _LAM_ALEF and out and out[-1] == _LAM:
            out[-1] = 0x10000 + _LAM_ALEF[point]
        else:
            out.append(point)
    return out


def _form_of(point):
    """The first of the letter's forms, 0 for what has none."""
    if point > 0xFFFF:
        return point - 0x10000
    if _FIRST <= point <= _LAST:
        return _forms[point - _FIRST]
    return _PERSIAN.get(point, 0)


def _joins_next(point):
    if point in _JOINERS:
        return True
    return point <= 0xFFFF and _form_of(point) != 0 and point not in _TWO_FORMS


def _joins_before(point):
    return point in _JOINERS or _form_of(point) != 0


# ---------------------------------------------------------------- order

# Kinds of characters: annex 9, table 4.
_L, _R, _AL, _EN, _AN, _ES, _ET, _CS, _WS, _ON = range(10)
# Tuples and places instead of pairs: these loops run for every letter, and must leave no garbage.
_STRONG, _SIDES, _SEPARATE, _NEUTRAL = (_L, _R, _AL), (_L, _R), (_ES, _CS), (_WS, _ON)
_SEPARATORS = {0x2B: _ES, 0x2D: _ES, 0x2C: _CS, 0x2E: _CS, 0x2F: _CS, 0x3A: _CS, 0x060C: _CS, 0xA0: _CS}
_ARABIC = ((0x061B, 0x061F), (0x0620, 0x06FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))
_TERMINATORS = (0x23, 0x24, 0x25, 0xB0, 0xB1, 0x066A, 0x0609, 0x060A)


def _kind(point):
    if 0x30 <= point <= 0x39 or 0x06F0 <= point <= 0x06F9:
        return _EN
    if 0x0660 <= point <= 0x0669 or point in (0x066B, 0x066C):
        return _AN
    if 0x41 <= point <= 0x5A or 0x61 <= point <= 0x7A:
        return _L
    if 0xC0 <= point <= 0x24F and point not in (0xD7, 0xF7):
        return _L
    if point in _SEPARATORS:
        return _SEPARATORS[point]
    if point in _TERMINATORS:
        return _ET
    for first, last in _ARABIC:
        if first <= point <= last:
            return _AL
    return _WS if point == 0x20 else _ON


def _levels(points, base):
    kinds = [_kind(point) for point in points]
    start = _R if base else _L
    _resolve_numbers(kinds, start)
    _resolve_neutrals(kinds, start, base)
    return [1 if kind == _R else 0 if kind == _L and not base else 2 for kind in kinds]


def _resolve_numbers(kinds, start):
    """Rules W2 to W7."""
    strong = start
    for place in range(len(kinds)):
        kind = kinds[place]
        if kind in _STRONG:
            strong = kind
            if kind == _AL:
                kinds[place] = _R
        elif kind == _EN and strong == _AL:
            kinds[place] = _AN
    last = len(kinds) - 1
    for place in range(1, last):
        kind = kinds[place]
        before = kinds[place - 1]
        after = kinds[place + 1]
        joins = kind in _SEPARATE if before == _EN else before == _AN and kind == _CS
        if before == after and joins:
            kinds[place] = before
    place = 0
    while place <= last:
        if kinds[place] != _ET:
            place += 1
            continue
        end = place
        while end <= last and kinds[end] == _ET:
            end += 1
        near = (place > 0 and kinds[place - 1] == _EN) or (end <= last and kinds[end] == _EN)
        for at in range(place, end):
            kinds[at] = _EN if near else _ON
        place = end
    strong = start
    for place in range(len(kinds)):
        kind = kinds[place]
        if kind in _SEPARATE:
            kinds[place] = _ON
        elif kind in _SIDES:
            strong = kind
        elif kind == _EN and strong == _L:
            kinds[place] = _L


def _resolve_neutrals(kinds, start, base):
    """Rules N1 and N2: what has no direction takes the one of both sides, or the line's."""
    last = len(kinds) - 1
    place = 0
    before = start
    while place <= last:
        kind = kinds[place]
        if kind not in _NEUTRAL:
            before = _L if kind == _L else _R
            place += 1
            continue
        end = place
        while end <= last and kinds[end] in _NEUTRAL:
            end += 1
        after = start if end > last else _L if kinds[end] == _L else _R
        direction = before if before == after else start
        for at in range(place, end):
            kinds[at] = direction
        place = end


def _reordered(points, levels):
    """Rules L1, L2 and L4: blanks at the end stay at the end, runs of higher levels are turned,
    brackets are mirrored."""
    out = points
    for place in range(len(out)):
        if levels[place] & 1 and out[place] in _MIRRORED:
            out[place] = _MIRRORED[out[place]]
    if not out:
        return out
    level = max(levels)
    while level > 0:
        place = 0
        while place < len(out):
            if levels[place] < level:
                place += 1
                continue
            end = place
            while end < len(out) and levels[end] >= level:
                end += 1
            _turn(out, place, end)
            _turn(levels, place, end)
            place = end
        level -= 1
    return out


def _turn(values, first, end):
    """The other way round, in place."""
    last = end - 1
    while first < last:
        kept = values[first]
        values[first] = values[last]
        values[last] = kept
        first += 1
        last -= 1
