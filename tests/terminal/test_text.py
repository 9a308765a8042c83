"""Digits, dates and card numbers."""

from terminal.text import (
    date_of,
    day_number,
    digits_of,
    grouped,
    is_date,
    is_digits,
    jalali,
    latin_digits,
    luhn_digit,
    luhn_valid,
    masked,
    persian_digits,
    said,
)

# Gregorian date, Jalali date: turns of common and leap years, turns of months, days known from history.
CALENDAR = (
    ((1979, 2, 11), (1357, 11, 22)),
    ((1996, 3, 20), (1375, 1, 1)),
    ((1997, 3, 20), (1375, 12, 30)),
    ((1997, 3, 21), (1376, 1, 1)),
    ((2000, 1, 1), (1378, 10, 11)),
    ((2021, 3, 20), (1399, 12, 30)),
    ((2021, 3, 21), (1400, 1, 1)),
    ((2024, 2, 29), (1402, 12, 10)),
    ((2024, 3, 19), (1402, 12, 29)),
    ((2024, 3, 20), (1403, 1, 1)),
    ((2024, 9, 21), (1403, 6, 31)),
    ((2024, 9, 22), (1403, 7, 1)),
    ((2025, 3, 20), (1403, 12, 30)),
    ((2025, 3, 21), (1404, 1, 1)),
    ((2026, 8, 24), (1405, 6, 2)),
    ((2029, 3, 20), (1408, 1, 1)),
    ((2030, 3, 20), (1408, 12, 30)),
)


def test_jalali_dates():
    for gregorian, expected in CALENDAR:
        assert jalali(*gregorian) == expected, gregorian


def test_jalali_days_follow_each_other():
    previous = jalali(*date_of(-7000))
    for number in range(-6999, 15000):
        year, month, day = jalali(*date_of(number))
        if day > 1:
            assert previous == (year, month, day - 1)
        elif month > 1:
            assert previous == (year, month - 1, 31 if month < 8 else 30)
        else:
            assert previous[:2] == (year - 1, 12) and previous[2] in (29, 30)
        previous = (year, month, day)


def test_day_numbers():
    assert day_number(2000, 1, 1) == 0
    assert day_number(2000, 12, 31) == 365
    assert day_number(1970, 1, 1) == -10957
    for number in list(range(-150000, 150000, 97)) + list(range(-400, 1500)):
        assert day_number(*date_of(number)) == number


def test_dates_that_do_not_exist():
    assert is_date(2024, 2, 29) and is_date(2000, 2, 29) and is_date(2026, 12, 31)
    for date in ((2023, 2, 29), (1900, 2, 29), (2026, 4, 31), (2026, 13, 1), (2026, 0, 1), (2026, 1, 0)):
        assert not is_date(*date), date
    assert not is_date(26, 1, 1)


def test_digits_of_three_scripts():
    assert latin_digits("۱۲۳ ٤٥٦ 789 ۰٠") == "123 456 789 00"
    assert persian_digits("123 ٤۵6 کارت") == "۱۲۳ ۴۵۶ کارت"
    assert digits_of("90", "fa") == "۹۰" and digits_of("90", "en") == "90"
    assert is_digits("0123456789")
    assert not is_digits("") and not is_digits("۱۲") and not is_digits("1 2")


def test_grouping():
    rows = ((0, "0", "۰"), (999, "999", "۹۹۹"), (1000, "1,000", "۱٬۰۰۰"), (2500000, "2,500,000", "۲٬۵۰۰٬۰۰۰"))
    for number, english, persian in rows:
        assert grouped(number, "en") == english
        assert grouped(number, "fa") == persian
    assert grouped(-1234, "en") == "-1,234"
    assert grouped(999999999999, "en") == "999,999,999,999"


def test_luhn():
    assert luhn_valid("4111111111111111") and luhn_valid("18") and luhn_valid("79927398713")
    assert luhn_digit("411111111111111") == "1" and luhn_digit("7992739871") == "3"
    for wrong in ("", "0", "4111111111111112", "1411111111111111", "411111111111111x", "۱۸"):
        assert not luhn_valid(wrong), wrong


def test_masks():
    assert masked("9364001234567890") == "936400******7890"
    assert masked("9364001234567890123") == "936400*********0123"
    assert masked("12345678") == "12****78"
    assert masked("1234567") == "*******"
    assert masked("") == ""


def test_what_has_a_letter_is_searched_by_and_stays_latin():
    assert [said(text, "fa") for text in ("A-17", "5C0X4", "z9", "936400******7898")] == [
        "A-17",
        "5C0X4",
        "z9",
        "۹۳۶۴۰۰******۷۸۹۸",
    ]
    assert said("A-17", "en") == "A-17"
