"""The words of the message specification in English and Persian, and a field's format said in them.

Only words live here; which of them stand where is `spec_docs`' business. Placeholders are `str.format`'s.
"""

# ruff: noqa: E501 (a sentence stays on its line)

from __future__ import annotations

from collections.abc import Mapping

from switch.iso8583 import Text
from switch.iso8583.dictionary import Field

LANGUAGES = ("en", "fa")

WORDS: Mapping[str, Text] = {
    "title": Text("Message specification: {name}, version {version}", "مشخصات پیام: {name}، نسخهٔ {version}"),
    "generated": Text(
        "Made from the message dictionary by `vafa spec docs`; a change is made there. Card numbers, PIN blocks, keys and MACs are masked in every example.",
        "این سند را `vafa spec docs` از واژه‌نامهٔ پیام ساخته است؛ تغییر در همان واژه‌نامه داده می‌شود. شمارهٔ کارت، بلوک رمز، کلید و MAC در همهٔ مثال‌ها پوشانده است.",
    ),
    # ---- framing
    "framing": Text("Framing", "قاب‌بندی"),
    "frame_length": Text(
        "Each message stands behind its length: {size}, {notation}. The length {counts}.",
        "پیش از هر پیام طول آن می‌آید: {size}، {notation}. این طول {counts}.",
    ),
    "counts_message": Text("counts what follows it, not itself", "بایت‌های پس از خود را می‌شمارد، نه خود را"),
    "counts_itself": Text("counts itself too", "خود را هم می‌شمارد"),
    "frame_fill": Text("Behind the length stands `{fill}`.", "پس از طول `{fill}` می‌آید."),
    "frame_trailer": Text(
        "Behind the message stands `{trailer}`, which the length counts.",
        "پس از پیام `{trailer}` می‌آید که در طول شمرده می‌شود.",
    ),
    "tpdu_auto": Text(
        "A TPDU may stand before the message: 5 bytes, `60`, destination (2), source (2). A first byte `60` says that it is there. The answer carries it with destination and source swapped.",
        "پیش از پیام ممکن است TPDU بیاید: ۵ بایت، `60`، مقصد (۲) و مبدأ (۲). بایت نخست `60` نشانهٔ آن است. پاسخ همان را با مقصد و مبدأ جابه‌جا می‌آورد.",
    ),
    "tpdu_required": Text(
        "A TPDU stands before every message: 5 bytes, `60`, destination (2), source (2). The answer carries it with destination and source swapped.",
        "پیش از هر پیام TPDU می‌آید: ۵ بایت، `60`، مقصد (۲) و مبدأ (۲). پاسخ همان را با مقصد و مبدأ جابه‌جا می‌آورد.",
    ),
    "tpdu_none": Text("There is no TPDU.", "TPDU وجود ندارد."),
    "keep_alive": Text(
        "A frame without content keeps the line alive and is not answered.",
        "قاب بی‌محتوا خط را زنده نگه می‌دارد و پاسخی ندارد.",
    ),
    "be": Text("binary, big-endian", "دودویی، بایت پرارزش در آغاز"),
    "le": Text("binary, little-endian", "دودویی، بایت کم‌ارزش در آغاز"),
    # ---- layout
    "layout": Text("Layout of a message", "چینش پیام"),
    "layout_order": Text(
        "In this order, without anything between: {parts}. Fields stand in ascending order of their numbers.",
        "به این ترتیب و بی‌فاصله: {parts}. فیلدها به ترتیب شماره می‌آیند.",
    ),
    "part_header": Text("header", "سرایند"),
    "part_mti": Text("message type (MTI)", "نوع پیام (MTI)"),
    "part_bitmap": Text("bitmap", "نقشهٔ بیتی"),
    "part_fields": Text("the fields whose bits are set", "فیلدهایی که بیت‌شان ۱ است"),
    "list_comma": Text(", ", "، "),
    "header": Text("Message header", "سرایند پیام"),
    "mti": Text("Message type (MTI)", "نوع پیام (MTI)"),
    "mti_encoding": Text(
        "Four digits, {encoding}: {size}. Version, class, function, origin; an odd last digit is a repeat.",
        "چهار رقم، {encoding}: {size}. نسخه، رده، کارکرد، مبدأ؛ رقم آخرِ فرد یعنی تکرار.",
    ),
    "bitmap": Text("Bitmap", "نقشهٔ بیتی"),
    "bitmap_form": Text(
        "Bit n, counted from 1 at the left, says that field n is there. On the line: {encoding}, {size}.",
        "بیت n (شمارش از ۱ و از چپ) بودن فیلد n را نشان می‌دهد. روی خط: {encoding}، {size}.",
    ),
    "bitmap_announces": Text(
        "Bit 1 announces a second bitmap of the same form, right behind the first, for fields 65 to 128.",
        "بیت ۱ خبر از نقشهٔ دوم با همان شکل می‌دهد که بی‌درنگ پس از اولی می‌آید و از آنِ فیلدهای ۶۵ تا ۱۲۸ است.",
    ),
    "bitmap_always": Text(
        "Both bitmaps always stand; bit 1 is set when the second holds a field.",
        "هر دو نقشه همیشه هستند؛ بیت ۱ وقتی ۱ است که نقشهٔ دوم فیلدی داشته باشد.",
    ),
    "bitmap_set": Text("Bit 1 is always set.", "بیت ۱ همیشه ۱ است."),
    "bitmap_clear": Text("Bit 1 is always clear.", "بیت ۱ همیشه ۰ است."),
    "bitmap_any": Text(
        "Both bitmaps always stand; bit 1 says nothing.", "هر دو نقشه همیشه هستند؛ بیت ۱ چیزی نمی‌گوید."
    ),
    "bitmap_empty": Text("A second bitmap without fields is accepted.", "نقشهٔ دومِ بی‌فیلد پذیرفته می‌شود."),
    "bitmap_65": Text(
        "Bit 65 announces a third bitmap right behind the second, for fields 129 to 192.",
        "بیت ۶۵ خبر از نقشهٔ سوم پس از دومی می‌دهد که از آنِ فیلدهای ۱۲۹ تا ۱۹۲ است.",
    ),
    "bitmap_in_field": Text(
        "Field {number} holds the bitmap of fields 129 to 192, which follow after field 128.",
        "فیلد {number} نقشهٔ فیلدهای ۱۲۹ تا ۱۹۲ را دارد که پس از فیلد ۱۲۸ می‌آیند.",
    ),
    "mac": Text("MAC", "کد اصالت (MAC)"),
    "mac_place": Text(
        "{size}, the last field: {primary}, or {secondary} when a second bitmap is there. It covers every byte from the MTI up to itself; length and TPDU are not covered. Its bit is set before it is made.",
        "{size} و آخرین فیلد: {primary}، یا {secondary} اگر نقشهٔ دوم باشد. همهٔ بایت‌ها را از MTI تا خودش می‌پوشاند؛ طول و TPDU را نه. بیت آن پیش از ساختنش ۱ می‌شود.",
    ),
    "mac_place_alone": Text(
        "{size}, the last field: {primary}. It covers every byte from the MTI up to itself; length and TPDU are not covered. Its bit is set before it is made.",
        "{size} و آخرین فیلد: {primary}. همهٔ بایت‌ها را از MTI تا خودش می‌پوشاند؛ طول و TPDU را نه. بیت آن پیش از ساختنش ۱ می‌شود.",
    ),
    "mac_required": Text("Every message carries it.", "در هر پیام هست."),
    "mac_optional": Text("A message may do without.", "پیام بی آن هم پذیرفته است."),
    # ---- fields
    "fields": Text("Fields", "فیلدها"),
    "legend": Text("Words of the tables", "واژه‌های جدول‌ها"),
    "number": Text("Field", "فیلد"),
    "name": Text("Name", "نام"),
    "meaning": Text("Meaning", "معنا"),
    "class": Text("Class", "رده"),
    "encoding": Text("Encoding", "کدگذاری"),
    "length": Text("Length", "طول"),
    "filling": Text("Padding", "پرکن"),
    "mask": Text("Shown", "نمایش"),
    "code": Text("Code", "کد"),
    "value": Text("Value", "مقدار"),
    "inside": Text("Inside field {path}: {title}", "درون فیلد {path}: {title}"),
    "values_of": Text("Values of {path}: {title}", "مقدارهای {path}: {title}"),
    "only_values": Text("No other value is allowed.", "مقدار دیگری پذیرفته نیست."),
    "unknown_kept": Text(
        "A tag that is not listed is kept byte for byte.",
        "برچسبی که در جدول نیست بایت‌به‌بایت نگه داشته می‌شود.",
    ),
    "unknown_refused": Text("A tag that is not listed is refused.", "برچسبی که در جدول نیست رد می‌شود."),
    "tag_repeats": Text("A tag may come again.", "برچسب می‌تواند تکرار شود."),
    "tag_once": Text("A tag stands at most once.", "هر برچسب حداکثر یک بار می‌آید."),
    "any_length": Text(
        "Lengths may be longer than they need be.", "طول‌ها می‌توانند بلندتر از اندازهٔ لازم نوشته شوند."
    ),
    "misfits_kept": Text(
        "A tag of another length or content than listed is kept byte for byte.",
        "برچسبی با طول یا محتوایی جز آنچه در جدول است بایت‌به‌بایت نگه داشته می‌شود.",
    ),
    "tlv_ber": Text(
        "BER-TLV (ISO/IEC 8825-1): tag, length, value.", "ساختار BER-TLV (ISO/IEC 8825-1): برچسب، طول، مقدار."
    ),
    "tlv_simple": Text(
        "Tagged data: {order}. Tag: {tag_size}, {tag_encoding}. Length: {length_size}, {length_encoding}{covers}.",
        "دادهٔ برچسب‌دار: {order}. برچسب: {tag_size}، {tag_encoding}. طول: {length_size}، {length_encoding}{covers}.",
    ),
    "tag_first": Text("tag, length, value", "برچسب، طول، مقدار"),
    "length_first": Text("length, tag, value", "طول، برچسب، مقدار"),
    "covers_tag": Text(", counting the tag too", "، با شمردن برچسب"),
    "positional": Text("One after the other, in this order.", "پشت سر هم، به این ترتیب."),
    "optional_tail": Text(
        "What is marked `?` may be missing at the end, with all behind it.",
        "آنچه نشان `?` دارد می‌تواند همراه همهٔ آنچه پس از آن است در پایان نیاید.",
    ),
    "group_repeats": Text("The group stands 1 to {repeat} times.", "این گروه ۱ تا {repeat} بار می‌آید."),
    "bitmapped": Text(
        "A bitmap of its own, {encoding}, {size}, says which of these follow.",
        "نقشهٔ بیتی خودش، {encoding}، {size}، می‌گوید کدام‌یک می‌آیند.",
    ),
    # ---- messages
    "messages": Text("Messages", "پیام‌ها"),
    "presence": Text("Presence", "حضور فیلدها"),
    "presence_legend": Text(
        "`M` mandatory · `O` optional · `C…` by the condition of that number · `1…` exactly one of those with the same letter · empty: refused · `E` behind it: an answer repeats the request's value.",
        "`M` اجباری · `O` اختیاری · `C…` بنا بر شرط با همان شماره · `1…` درست یکی از آن‌ها که حرف یکسان دارند · خالی: رد می‌شود · `E` پس از آن: پاسخ همان مقدار درخواست را می‌آورد.",
    ),
    "any_other": Text("any other", "هر فیلد دیگر"),
    "message": Text("Message", "پیام"),
    "processing_code": Text("DE 3", "فیلد ۳"),
    "any": Text("any", "هر مقدار"),
    "not_looked_at": Text("not looked at", "بررسی نمی‌شود"),
    "conditions": Text("Conditions", "شرط‌ها"),
    "condition": Text("Condition", "شرط"),
    "otherwise": Text("Otherwise", "وگرنه"),
    "optional": Text("optional", "اختیاری"),
    "absent": Text("absent", "نباید باشد"),
    # ---- examples
    "examples": Text("Examples", "مثال‌ها"),
    "bytes": Text("Bytes", "بایت‌ها"),
    "hex": Text("Hex", "هگز"),
    "masked_hex": Text(
        "`**` is a byte that is not shown. Byte 0 is the first of the message.",
        "`**` بایتی است که نشان داده نمی‌شود. بایت ۰ نخستین بایت پیام است.",
    ),
    # ---- codes
    "response_codes": Text("Response codes (DE 39)", "کدهای پاسخ (فیلد ۳۹)"),
    "transient": Text("May succeed later", "شاید بعدتر بشود"),
    "yes": Text("yes", "بله"),
    "reasons": Text("Reasons", "دلیل‌ها"),
    "reason_number": Text("`{{0}}` stands for the number in {path}.", "`{{0}}` جای عدد {path} است."),
    "network_codes": Text("Network codes", "کدهای شبکه"),
}

CLASSES: Mapping[str, Text] = {
    "n": Text("digits", "رقم"),
    "z": Text("track 2: digits and the separator", "شیار ۲: رقم و جداکننده"),
    "a": Text("letters", "حرف"),
    "an": Text("letters and digits", "حرف و رقم"),
    "anp": Text("letters, digits and spaces", "حرف، رقم و فاصله"),
    "as": Text("letters and special characters", "حرف و نشانه"),
    "ns": Text("digits and special characters", "رقم و نشانه"),
    "ans": Text("printable characters", "نویسهٔ چاپی"),
    "h": Text("hexadecimal digits", "رقم شانزده‌شانزدهی"),
    "x+n": Text("sign and digits", "علامت و رقم"),
    "b": Text("bytes", "بایت"),
    "tlv": Text("tagged data", "دادهٔ برچسب‌دار"),
    "positional": Text("parts one after the other", "بخش‌های پشت سر هم"),
    "bitmapped": Text("parts chosen by a bitmap", "بخش‌ها به گزینش نقشهٔ بیتی"),
}

ENCODINGS: Mapping[str, Text] = {
    "bcd": Text("BCD", "BCD"),
    "ascii": Text("ASCII", "ASCII"),
    "ebcdic": Text("EBCDIC", "EBCDIC"),
    "binary": Text("binary", "دودویی"),
    "hex": Text("hexadecimal digits in ASCII", "رقم شانزده‌شانزدهی در ASCII"),
}

UNITS: Mapping[str, Text] = {
    "digits": Text("digits", "رقم"),
    "nibbles": Text("nibbles", "نیم‌بایت"),
    "characters": Text("characters", "نویسه"),
    "bytes": Text("bytes", "بایت"),
}

MASKS: Mapping[str, Text] = {
    "none": Text("whole", "کامل"),
    "pan": Text(
        "first 6 and last 4 digits (2 and 2 when shorter than 16)",
        "۶ رقم اول و ۴ رقم آخر (کوتاه‌تر از ۱۶: ۲ و ۲)",
    ),
    "track2": Text("the masked card number alone", "تنها شمارهٔ کارت پوشانده"),
    "track1": Text("the masked card number alone", "تنها شمارهٔ کارت پوشانده"),
    "mobile": Text("first 4 and last 2 digits", "۴ رقم اول و ۲ رقم آخر"),
    "hidden": Text("never", "هرگز"),
}

SIDES: Mapping[str, Text] = {"left": Text("left", "چپ"), "right": Text("right", "راست")}

_PREFIXED = Text(
    "{length}, behind a length of {digits} {encoding} ({size}{inclusive})",
    "{length}، پس از طول: {digits} {encoding} ({size}{inclusive})",
)
_BINARY_PREFIXED = Text(
    "{length}, behind a binary length of {size}{inclusive}",
    "{length}، پس از طول دودویی: {size}{inclusive}",
)
_INCLUSIVE = Text(", counting itself", "، با شمردن خودش")
_GIVEN = Text("{length}, as its tag or what is left says", "{length}، به گفتهٔ طول برچسب یا آنچه مانده")
_RANGE = Text("{minimum} to {maximum} {unit}", "{minimum} تا {maximum} {unit}")
_PAD = Text("odd number: nibble `{nibble}` on the {side}", "تعداد فرد: نیم‌بایت `{nibble}` در {side}")
_FILL = Text("`{character}` on the {side}", "`{character}` در {side}")


# English has a singular; Persian counts with one form.
_ONE = {"digits": "digit", "nibbles": "nibble", "characters": "character", "bytes": "byte"}


_PERSIAN_DIGITS = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


def number_words(number: int, language: str) -> str:
    """A number within a sentence, in the digits of the language."""
    return f"{number}".translate(_PERSIAN_DIGITS) if language == "fa" else f"{number}"


def count_words(count: int, unit: str, language: str) -> str:
    """A number of units: "1 byte", "2 bytes"."""
    words = UNITS[unit][LANGUAGES.index(language)]
    is_one = count == 1 and language == "en"
    return f"{number_words(count, language)} {_ONE[unit] if is_one else words}"


def length_words(field: Field, language: str) -> str:
    """How long a field is and how that is told, in words."""
    place = LANGUAGES.index(language)
    minimum, maximum, _digits = field.length
    unit = UNITS[field.unit][place]
    length = count_words(maximum, field.unit, language)
    if minimum != maximum:
        length = _RANGE[place].format(
            minimum=number_words(minimum, language), maximum=number_words(maximum, language), unit=unit
        )
    if field.sizing == "given":
        return _GIVEN[place].format(length=length)
    if field.prefix is None:
        return length
    pattern = _BINARY_PREFIXED if field.prefix.encoding == "binary" else _PREFIXED
    return pattern[place].format(
        length=length,
        digits=count_words(field.prefix.digits, "digits", language),
        size=count_words(field.prefix.size, "bytes", language),
        encoding=ENCODINGS[field.prefix.encoding][place],
        inclusive=_INCLUSIVE[place] if field.prefix.inclusive else "",
    )


def filling_words(field: Field, language: str) -> str:
    """What fills an odd number of digits or a short value, and on which side; empty when nothing does."""
    place = LANGUAGES.index(language)
    words = []
    if field.pad is not None:
        side = SIDES[field.pad.side][place]
        words.append(_PAD[place].format(nibble=field.pad.nibble.upper(), side=side))
    if field.fill is not None:
        side = SIDES[field.fill.side][place]
        words.append(_FILL[place].format(character=field.fill.character, side=side))
    return "; ".join(words)


def encoding_words(field: Field, language: str) -> str:
    """How the content is written, in words."""
    words = ENCODINGS[field.encoding][LANGUAGES.index(language)]
    return f"{words} ({field.code_page})" if field.encoding == "ebcdic" else words
