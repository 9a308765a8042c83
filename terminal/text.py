"""Dates, digits and numbers as people write them: Jalali calendar, Persian digits, card numbers, grouping.

A pure leaf: it imports nothing and knows no locale tables, no clock and no card but the one it is given.
"""

LATIN_ZERO = 0x30
ARABIC_INDIC_ZERO = 0x660
PERSIAN_ZERO = 0x6F0

GROUP_SEPARATORS = {"en": ",", "fa": "\u066c"}

SECONDS_PER_DAY = 86400
_CUMULATIVE_DAYS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
# Gregorian 400-year cycles: 1 March 2000 starts one, so the leap day is the last day of a counted year.
_DAYS_PER_400_YEARS = 146097
# Jalali years run in cycles of 33 with 8 leap years; true to the astronomical calendar from 1244 to 1472.
_JALALI_CYCLE_YEARS = 33
_JALALI_CYCLE_DAYS = 12053
_JALALI_FIRST_YEAR = 1375  # a leap year that starts a cycle: 20 March 1996
_JALALI_FIRST_DAY = -1382  # of that Nowruz, counted from 1 January 2000


# ---------------------------------------------------------------- digits


def latin_digits(text):
    """Persian (U+06F0) and Arabic-Indic (U+0660) digits become 0-9; everything else stays."""
    letters = []
    for letter in text:
        code = ord(letter)
        for zero in (PERSIAN_ZERO, ARABIC_INDIC_ZERO):
            if zero <= code <= zero + 9:
                letter = chr(LATIN_ZERO + code - zero)
        letters.append(letter)
    return "".join(letters)


def persian_digits(text):
    """Latin and Arabic-Indic digits become Persian ones; everything else stays."""
    letters = []
    for letter in latin_digits(text):
        if "0" <= letter <= "9":
            letter = chr(ord(letter) - LATIN_ZERO + PERSIAN_ZERO)
        letters.append(letter)
    return "".join(letters)


def digits_of(text, locale):
    """The text with the digits of `locale` ("en" or "fa")."""
    return persian_digits(text) if locale == "fa" else text


def said(text, locale):
    """The text with the locale's digits; what has letters beside them, as a reference number, stays Latin."""
    for letter in text:
        if "A" <= letter <= "z":
            return text
    return digits_of(text, locale)


def grouped(number, locale):
    """A whole number in groups of three, with the digits and the separator of `locale` ("en" or "fa")."""
    digits = str(abs(number))
    first = len(digits) % 3 or 3
    groups = [digits[:first]] + [digits[at : at + 3] for at in range(first, len(digits), 3)]
    return ("-" if number < 0 else "") + digits_of(GROUP_SEPARATORS[locale].join(groups), locale)


# ---------------------------------------------------------------- dates


def day_number(year, month, day):
    """Days from 1 January 2000 to a Gregorian date (negative before). The date must exist."""
    leap_days = (year - 1) // 4 - (year - 1) // 100 + (year - 1) // 400
    number = 365 * (year - 2000) + leap_days - 484 + _CUMULATIVE_DAYS[month - 1] + day - 1
    if month > 2 and _is_leap(year):
        number += 1
    return number


def _is_leap(year):
    """Whether a Gregorian year has 366 days."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def date_of(number):
    """The Gregorian (year, month, day) of a day number; reverse of `day_number`."""
    number -= 60  # from 1 March 2000
    cycles, number = divmod(number, _DAYS_PER_400_YEARS)
    centuries = min(number // 36524, 3)
    number -= centuries * 36524
    fours, number = divmod(number, 1461)
    years = min(number // 365, 3)
    number -= years * 365
    month = (5 * number + 2) // 153  # months from March, 153 days in each five
    day = number - (153 * month + 2) // 5 + 1
    year = 2000 + 400 * cycles + 100 * centuries + 4 * fours + years
    return (year, month + 3, day) if month < 10 else (year + 1, month - 9, day)


def is_date(year, month, day):
    """Whether the Gregorian calendar has this date."""
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1583 <= year <= 9999):
        return False
    return date_of(day_number(year, month, day)) == (year, month, day)


def later(moment, seconds):
    """The (year, month, day, hour, minute, second) that comes `seconds` after `moment`."""
    year, month, day, hour, minute, second = moment
    days, rest = divmod((hour * 60 + minute) * 60 + second + seconds, SECONDS_PER_DAY)
    return date_of(day_number(year, month, day) + days) + (rest // 3600, rest // 60 % 60, rest % 60)


def moment_digits(moment):
    """YYYYMMDDhhmmss of (year, month, day, hour, minute, second)."""
    return "%04d%02d%02d%02d%02d%02d" % tuple(moment)


def moment_of(digits):
    """Reverse of `moment_digits`."""
    return (int(digits[:4]),) + tuple([int(digits[at : at + 2]) for at in range(4, 14, 2)])


def jalali(year, month, day):
    """The Jalali (year, month, day) of a Gregorian date; exact for Jalali years 1244 to 1472."""
    number = day_number(year, month, day) - _JALALI_FIRST_DAY
    cycles, number = divmod(number, _JALALI_CYCLE_DAYS)
    # Within a cycle the years 0, 4, 8 ... 28 are leap; the year before the next cycle is a fifth common one.
    fours = min(number // 1461, 7)
    number -= fours * 1461
    years = 0 if number < 366 else 1 + (number - 366) // 365
    if years:
        number -= 366 + (years - 1) * 365
    jalali_year = _JALALI_FIRST_YEAR + _JALALI_CYCLE_YEARS * cycles + 4 * fours + years
    if number < 186:
        return jalali_year, number // 31 + 1, number % 31 + 1
    return jalali_year, (number - 186) // 30 + 7, (number - 186) % 30 + 1


# ---------------------------------------------------------------- card numbers


def luhn_digit(body):
    """The check digit that makes `body` (digits without it) a valid number. Luhn, ISO/IEC 7812-1 annex B."""
    total = 0
    for place, letter in enumerate(reversed(body)):
        digit = ord(letter) - LATIN_ZERO
        if place % 2 == 0:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return str(-total % 10)


def luhn_valid(number):
    """Whether the last digit is the Luhn check digit of the others; False for anything but digits."""
    return len(number) > 1 and is_digits(number) and luhn_digit(number[:-1]) == number[-1]


def is_digits(text):
    """Whether the text is one or more of 0-9 (str.isdigit would let other scripts through)."""
    for letter in text:
        if not "0" <= letter <= "9":
            return False
    return len(text) > 0


def masked(number):
    """What may be shown of a card number: 6...4 from 16 digits, 2...2 of shorter ones, nothing below 8."""
    length = len(number)
    if length >= 16:
        return number[:6] + "*" * (length - 10) + number[-4:]
    if length >= 8:
        return number[:2] + "*" * (length - 4) + number[-2:]
    return "*" * length
