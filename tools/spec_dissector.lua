-- ---------------------------------------------------------------- reader
-- Everything below is the same for every dialect; SPEC above is all it knows of one. Values are shown as the
-- kit shows them: masked. The bytes pane and exported bytes are the capture itself, which nothing can mask.
-- Runs on the Lua 5.2 to 5.4 of Wireshark: no bit operators, no integer division.

local HIDDEN = "[hidden]"

-- ---------------------------------------------------------------- masks
-- The same rules as the kit's own, step by step.

local SHORTEST_CARD_NUMBER, LONGEST_CARD_NUMBER, USUAL_CARD_NUMBER = 13, 19, 16

local function mask_card_number(number)
    local size = #number
    if size >= 16 then
        return number:sub(1, 6) .. ("*"):rep(size - 10) .. number:sub(-4)
    elseif size > 4 then
        return number:sub(1, 2) .. ("*"):rep(size - 4) .. number:sub(-2)
    end
    return ("*"):rep(size)
end

local function mask_mobile(number)
    local size = #number
    if size > 6 then return number:sub(1, 4) .. ("*"):rep(size - 6) .. number:sub(-2) end
    return ("*"):rep(size)
end

local function mask_track2(track)
    local number = track:gsub("D", "="):match("^([^=]*)=")
    return number and mask_card_number(number) .. "=..." or HIDDEN
end

local function mask_track1(track)
    local number = track:match("^%%?[A-Z]?([0-9]+)%^")
    if number and #number >= 8 and #number <= 19 then return mask_card_number(number) .. "^..." end
    return HIDDEN
end

local function luhn_valid(digits)
    local total = 0
    for place = 1, #digits do
        local digit = digits:byte(#digits - place + 1) - 48
        if place % 2 == 0 then
            digit = digit * 2
            if digit > 9 then digit = digit - 9 end
        end
        total = total + digit
    end
    return total % 10 == 0
end

local function begins_as_issued(window)
    for _, start in ipairs(SPEC.issued_starts[#window] or {}) do
        if window:sub(1, #start) == start then return true end
    end
    return false
end

-- Calls `found(start, size)` for all that could be card numbers within a run of digits.
local function card_windows(digits, found)
    for start = 1, #digits - SHORTEST_CARD_NUMBER + 1 do
        for size = SHORTEST_CARD_NUMBER, math.min(LONGEST_CARD_NUMBER, #digits - start + 1) do
            local window = digits:sub(start, start + size - 1)
            local is_likely = size == USUAL_CARD_NUMBER and window:sub(1, 1) ~= "0" or begins_as_issued(window)
            if is_likely and luhn_valid(window) then found(start, size) end
        end
    end
end

-- `run`: digits with up to three characters between some of them that are neither letter nor digit.
local function mask_run(run)
    local places, digits = {}, ""
    for place = 1, #run do
        local character = run:sub(place, place)
        if character:find("[0-9]") then
            places[#places + 1] = place
            digits = digits .. character
        end
    end
    local hidden = {}
    if #digits <= LONGEST_CARD_NUMBER and luhn_valid(digits) then
        local masked = mask_card_number(digits)
        for place = 1, #masked do
            if masked:sub(place, place) == "*" then hidden[places[place]] = true end
        end
    else
        card_windows(digits, function(start, size)
            local first, last = 2, 2
            if size >= 16 then first, last = 6, 4 end
            for place = start + first, start + size - last - 1 do hidden[places[place]] = true end
        end)
    end
    local shown = {}
    for place = 1, #run do shown[place] = hidden[place] and "*" or run:sub(place, place) end
    return table.concat(shown)
end

-- `text` with each part that `part(text, at)` finds from `at` on (its end and what it becomes) replaced.
local function replace(text, part)
    local shown, at = {}, 1
    while at <= #text do
        local stop, becomes = part(text, at)
        if stop then
            shown[#shown + 1] = becomes
            at = stop + 1
        else
            shown[#shown + 1] = text:sub(at, at)
            at = at + 1
        end
    end
    return table.concat(shown)
end

local function track1_part(text, at)
    local _, stop, number = text:find("^%%?B([0-9 ]+)%^[^?\n]*%??", at)
    if stop and #number >= 9 and #number <= 24 and number:find("^[0-9].*[0-9]$") then
        return stop, mask_card_number(number) .. "^..."
    end
end

local function track2_part(text, at)
    if at > 1 and text:find("^[0-9]", at - 1) then return end
    local _, stop, number = text:find("^([0-9]+)[=Dd][0-9][0-9][0-9][0-9]+", at)
    if stop and #number >= 8 and #number <= 19 then return stop, mask_card_number(number) .. "=..." end
end

local function hex_part(text, at)
    for _, pair in ipairs({ "3", "[Ff]" }) do
        local stop, digits = at - 1, ""
        while text:find("^" .. pair .. "[0-9]", stop + 1) do
            stop = stop + 2
            digits = digits .. text:sub(stop, stop)
        end
        if #digits >= SHORTEST_CARD_NUMBER then
            return stop, mask_run(digits) == digits and text:sub(at, stop) or ("*"):rep(stop - at + 1)
        end
    end
end

local function digit_part(text, at)
    if not text:find("^[0-9]", at) then return end
    local stop, count = at, 1
    while true do
        local _, further = text:find("^[%c%s%p]?[%c%s%p]?[%c%s%p]?[0-9]", stop + 1)
        if not further then break end
        stop, count = further, count + 1
    end
    local run = text:sub(at, stop)
    return stop, count >= SHORTEST_CARD_NUMBER and mask_run(run) or run
end

local function mask_text(text)
    if #text < SHORTEST_CARD_NUMBER - 1 then return text end
    for _, part in ipairs({ track1_part, track2_part, hex_part, digit_part }) do text = replace(text, part) end
    return text
end

local function to_hex(bytes)
    return (bytes:gsub(".", function(byte) return ("%02X"):format(byte:byte()) end))
end

local function from_ebcdic(bytes, page)
    return (bytes:gsub(".", function(byte) return SPEC.pages[page]:sub(byte:byte() + 1, byte:byte() + 1) end))
end

local function mask_bytes(bytes)
    local hex = to_hex(bytes)
    if #bytes < math.floor((SHORTEST_CARD_NUMBER + 1) / 2) then return hex end
    for _, text in ipairs({ hex, bytes, from_ebcdic(bytes, "cp500") }) do
        if mask_text(text) ~= text then return ("[%d bytes hidden]"):format(#bytes) end
    end
    return hex
end

local TEXT_MASKS = {
    none = mask_text,
    pan = mask_card_number,
    track2 = mask_track2,
    track1 = mask_track1,
    mobile = mask_mobile,
}

-- A rule that isn't known here hides.
local function shown_value(mask, value, is_bytes)
    if is_bytes then return mask == "none" and mask_bytes(value) or HIDDEN end
    local rule = TEXT_MASKS[mask]
    return rule and rule(value) or HIDDEN
end

-- ---------------------------------------------------------------- faults

local function fault(path, offset, expected, got)
    error({ path = path, offset = offset, expected = expected, got = got }, 0)
end

local function count_bytes(count)
    return count == 1 and "1 byte" or ("%d bytes"):format(count)
end

-- Refuses when `size` bytes from `at` reach beyond `stop`.
local function need(path, at, size, stop)
    if at + size > stop then fault(path, at, count_bytes(size), ("%d"):format(math.max(stop - at, 0))) end
end

-- ---------------------------------------------------------------- numbers and characters

local function cut(data, at, size)
    return data:sub(at + 1, at + size)
end

local function from_hex(text)
    return (text:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

-- `size` bytes from `at` as characters of `encoding`.
local function characters(data, at, size, encoding, page)
    local bytes = cut(data, at, size)
    return encoding == "ebcdic" and from_ebcdic(bytes, page or SPEC.page) or bytes
end

local function nibble_words(nibble)
    -- a digit may belong to a card number (a pad in the wrong place): not shown
    return nibble:find("[0-9]") and "a digit" or "nibble " .. nibble
end

local function byte_words(data, at)
    return ("byte 0x%02X"):format(data:byte(at + 1))
end

local LENGTH_WORDS = { ascii = "ASCII digits", ebcdic = "EBCDIC digits", hex = "hex digits" }

-- The number that `size` bytes at `at` write with `digits` digits; only digits of the encoding are a number.
local function read_number(path, data, at, size, encoding, page, stop, digits)
    need(path, at, size, stop)
    if encoding == "binary" then
        local number = 0
        for place = 1, size do number = number * 256 + data:byte(at + place) end
        return number
    end
    local text = encoding == "bcd" and to_hex(cut(data, at, size)) or characters(data, at, size, encoding, page)
    local wrong = text:find(encoding == "hex" and "[^0-9A-F]" or "[^0-9]")
    if wrong and encoding == "bcd" then
        fault(path, at + math.floor((wrong - 1) / 2), "a length in BCD", "nibble " .. text:sub(wrong, wrong))
    elseif wrong then
        fault(path, at + wrong - 1, "a length in " .. LENGTH_WORDS[encoding], byte_words(data, at + wrong - 1))
    end
    if encoding == "bcd" and digits % 2 == 1 and digits > 4 and text:sub(1, 1) ~= "0" then
        fault(path, at, ("a length of %d digits"):format(digits), "one more")
    end
    return tonumber(text, encoding == "hex" and 16 or 10)
end

-- A length of so many digits may be part of a card number: not shown when there are more than four.
local function shown_length(number, digits)
    return digits > 4 and "another number" or ("%d"):format(number)
end

-- ---------------------------------------------------------------- content of one field

-- Bytes on the line of `length` units of `row`'s content.
local function size_of(row, length)
    if row.encoding == "bcd" then
        if row.unit == "bytes" then return length end
        if row.content == "x+n" and row.sign_form ~= "nibble" then return 1 + math.floor(length / 2) end
        return math.floor((length + 1) / 2)
    end
    if row.in_hex then return row.unit == "bytes" and length * 2 or length end
    return row.unit == "nibbles" and math.floor(length / 2) or length
end

-- The length in `row`'s unit of `size` bytes; of BCD the greater of the two.
local function units_of(row, size)
    if row.encoding == "bcd" then
        if row.unit == "bytes" then return size end
        if row.content == "x+n" and row.sign_form ~= "nibble" then return size * 2 - 1 end
        return size * 2
    end
    if row.in_hex then return row.unit == "bytes" and math.floor(size / 2) or size end
    return row.unit == "nibbles" and size * 2 or size
end

-- What is left of `text` without its fill, but at least `least` characters.
local function stripped(text, side, filler, least)
    local from, to = 1, #text
    if side == "left" then
        while from <= to and text:sub(from, from) == filler and to - from + 1 > least do from = from + 1 end
    else
        while from <= to and text:sub(to, to) == filler and to - from + 1 > least do to = to - 1 end
    end
    return text:sub(from, to), from - 1
end

local readers = {}

-- The digits of `nibbles`, which begin with the `skip`-th nibble of byte `at`.
local function check_nibbles(row, path, nibbles, at, skip)
    for place = 1, #nibbles do
        local nibble = nibbles:sub(place, place)
        if not row.nibbles:find(nibble, 1, true) then
            fault(path, at + math.floor((skip + place - 1) / 2), row.nibble_words, nibble_words(nibble))
        end
    end
end

-- BCD whose length says how many digits; an odd number of them has a pad.
local function counted_nibbles(row, path, data, at, size, count)
    local nibbles = to_hex(cut(data, at, size))
    local pad_place = 0
    if count % 2 == 1 then pad_place = row.pad_side == "left" and 1 or #nibbles end
    for place = 1, #nibbles do
        local nibble, offset = nibbles:sub(place, place), at + math.floor((place - 1) / 2)
        if place == pad_place then
            if nibble ~= row.pad then fault(path, offset, "pad nibble " .. row.pad, nibble_words(nibble)) end
        elseif not row.nibbles:find(nibble, 1, true) then
            fault(path, offset, row.nibble_words, nibble_words(nibble))
        end
    end
    if pad_place == 1 then return nibbles:sub(2) end
    return pad_place > 0 and nibbles:sub(1, -2) or nibbles
end

-- BCD of which only the bytes are counted; a pad that is no digit shows an odd number.
local function sized_nibbles(row, path, data, at, size)
    local nibbles, skip = to_hex(cut(data, at, size)), 0
    if row.pad and not row.nibbles:find(row.pad, 1, true) then
        if row.pad_side == "left" and nibbles:sub(1, 1) == row.pad then
            nibbles, skip = nibbles:sub(2), 1
        elseif row.pad_side ~= "left" and nibbles:sub(-1) == row.pad then
            nibbles = nibbles:sub(1, -2)
        end
    end
    check_nibbles(row, path, nibbles, at, skip)
    if #nibbles < row.value_min or #nibbles > row.value_max then
        fault(path, at, row.value_range, ("%d digits"):format(#nibbles))
    end
    return nibbles
end

local function filled_nibbles(row, path, data, at, size)
    local nibbles, skip = to_hex(cut(data, at, size)), 0
    local is_odd, is_left = row.pad and row.value_max % 2 == 1, row.pad_side == "left"
    local edge = is_left and nibbles:sub(1, 1) or nibbles:sub(-1)
    local function check_pad(side)
        if is_odd and side == row.pad_side and edge ~= row.pad then
            fault(path, is_left and at or at + size - 1, "pad nibble " .. row.pad, nibble_words(edge))
        end
    end
    check_pad("left")
    if is_odd then
        nibbles = is_left and nibbles:sub(2) or nibbles:sub(1, -2)
        skip = is_left and 1 or 0
    end
    local value, cut_off = stripped(nibbles, row.fill_side, row.fill, row.min)
    check_nibbles(row, path, value, at, skip + cut_off)
    check_pad("right")
    return value
end

local function signed_nibbles(row, path, data, at, size, length)
    local nibbles, skip = to_hex(cut(data, at, size)), 0
    if length % 2 == 1 and row.pad then
        local edge = row.pad_side == "left" and nibbles:sub(1, 1) or nibbles:sub(-1)
        if edge ~= row.pad then
            fault(path, row.pad_side == "left" and at or at + size - 1, "pad nibble " .. row.pad, nibble_words(edge))
        end
        nibbles = row.pad_side == "left" and nibbles:sub(2) or nibbles:sub(1, -2)
        skip = row.pad_side == "left" and 1 or 0
    end
    if not row.signs:find(nibbles:sub(1, 1), 1, true) then
        fault(path, at + math.floor(skip / 2), "sign nibble " .. row.sign_words, "another sign")
    end
    check_nibbles(row, path, nibbles:sub(2), at, skip + 1)
    return nibbles
end

local function signed_bcd(row, path, data, at, size, length)
    if row.sign_form == "nibble" then return signed_nibbles(row, path, data, at, size, length) end
    if size == 0 then return "" end
    local sign = characters(data, at, 1, row.sign_form, row.page)
    if not row.signs:find(sign, 1, true) then fault(path, at, row.sign_words, "another sign") end
    if row.counted then return sign .. counted_nibbles(row, path, data, at + 1, size - 1, length - 1) end
    return sign .. sized_nibbles(row, path, data, at + 1, size - 1)
end

-- The character of each nibble of a track: 0x30 and the nibble.
local TRACK_CHARACTERS = { A = ":", B = ";", C = "<", D = "=", E = ">", F = "?" }

function readers.bcd(row, path, data, at, size, length)
    if row.content == "x+n" then return signed_bcd(row, path, data, at, size, length), false end
    local value
    if row.fill then
        value = filled_nibbles(row, path, data, at, size)
    elseif row.counted then
        value = counted_nibbles(row, path, data, at, size, length)
    else
        value = sized_nibbles(row, path, data, at, size)
    end
    if row.content == "z" then value = value:gsub("[A-F]", TRACK_CHARACTERS) end
    if row.content == "h" and row.lower then value = value:lower() end
    return value, false
end

local function check_characters(row, path, text, data, at)
    for place = 1, #text do
        if not row.allowed:find(text:sub(place, place), 1, true) then
            fault(path, at + place - 1, row.words, byte_words(data, at + place - 1))
        end
    end
end

local function read_text(row, path, data, at, size)
    local value, skip = characters(data, at, size, row.encoding, row.page), 0
    if row.content == "x+n" and value ~= "" then
        if not row.signs:find(value:sub(1, 1), 1, true) then fault(path, at, row.sign_words, "another sign") end
        check_characters(row, path, value:sub(2), data, at + 1)
        return value, false
    end
    if row.fill then value, skip = stripped(value, row.fill_side, row.fill, row.min) end
    check_characters(row, path, value, data, at + skip)
    return value, false
end

readers.ascii = read_text

-- The text of bytes written as hex digits.
local function hex_text(row, path, data, at, size)
    local text = characters(data, at, size, row.encoding, row.page)
    local wrong = text:find(row.lower and "[^0-9a-f]" or "[^0-9A-F]")
    if wrong then fault(path, at + wrong - 1, row.hex_words, byte_words(data, at + wrong - 1)) end
    if #text % 2 == 1 then fault(path, at, "an even number of hex digits", ("%d"):format(#text)) end
    return text
end

local function filled_bytes(row, value)
    if not row.fill then return value end
    local fill = from_hex(row.fill)
    return (stripped(value, row.fill_side, fill, 0))
end

function readers.hex(row, path, data, at, size)
    return filled_bytes(row, from_hex(hex_text(row, path, data, at, size))), true
end

function readers.binary(row, path, data, at, size)
    return filled_bytes(row, cut(data, at, size)), true
end

function readers.ebcdic(row, path, data, at, size)
    if row.content == "b" then return readers.hex(row, path, data, at, size) end
    return read_text(row, path, data, at, size)
end

local function check_only(row, path, at, value, is_bytes)
    if not row.only then return end
    local text = is_bytes and to_hex(value) or value
    for _, allowed in ipairs(row.only) do
        if text == allowed then return end
    end
    fault(path, at, row.only_words, "another value")
end

-- ---------------------------------------------------------------- fields and groups

local groups = {}

-- Shows `size` bytes of content of `row` at `at`, `length` units long; `from` is where its item begins (its
-- prefix or tag).
local function read_content(row, path, data, from, at, size, length, show)
    if not row.group then
        local value, is_bytes = readers[row.encoding](row, path, data, at, size, length)
        check_only(row, path, at, value, is_bytes)
        show(row, path, from, at + size - from, shown_value(row.mask, value, is_bytes))
        return
    end
    local branch = show(row, path, from, at + size - from)
    if row.encoding ~= "hex" then
        groups[row.group.kind](row, path, data, at, at + size, branch)
        return
    end
    -- inside, every byte is two digits on the line
    local inner = from_hex(hex_text(row, path, data, at, size))
    local is_good, problem = pcall(groups[row.group.kind], row, path, inner, 0, #inner, branch.doubled(at))
    if not is_good then
        if type(problem) == "table" then problem.offset = at + problem.offset * 2 end
        error(problem, 0)
    end
end

-- A field with its prefix, or of one length; `stop` is the end of what holds it. Returns the offset behind it.
local function read_field(row, path, data, at, stop, show)
    local prefix, length, size = row.prefix, row.max, size_of(row, row.max)
    local start = at
    if prefix then
        local number = read_number(path, data, at, prefix.size, prefix.encoding, row.page, stop, prefix.digits)
        length = number
        if prefix.inclusive then
            length = number >= prefix.size and units_of(row, number - prefix.size) or -1
        end
        if length < row.min or length > row.max then
            fault(path, at, "a length of " .. row.range, shown_length(number, prefix.digits))
        end
        if row.even and length % 2 == 1 then
            fault(path, at, "an even number of " .. row.unit, ("%d"):format(length))
        end
        size = prefix.inclusive and number - prefix.size or size_of(row, length)
        start = at + prefix.size
    end
    need(path, start, size, stop)
    read_content(row, path, data, at, start, size, length, show)
    return start + size
end

-- A part that takes what is left, or one of its own length.
local function read_part(part, path, data, at, stop, show)
    if part.sizing ~= "given" then return read_field(part, path, data, at, stop, show) end
    local size = stop - at
    if size < part.size_min or size > part.size_max then
        local words = count_bytes(part.size_max)
        if part.size_min < part.size_max then words = ("%d to %s"):format(part.size_min, words) end
        fault(path, at, words, ("%d"):format(size))
    end
    read_content(part, path, data, at, at, size, units_of(part, size), show)
    return stop
end

-- The value of a tag that the dictionary knows.
local function read_known_tag(member, path, data, from, length_at, at, size, show)
    local least = member.fill and member.size_max or member.size_min
    if size < least or size > member.size_max then
        local words = count_bytes(member.size_max)
        if least < member.size_max then words = ("%d to %s"):format(least, words) end
        fault(path, length_at, "a length of " .. words, ("%d"):format(size))
    end
    local length = member.sizing == "fixed" and member.max or units_of(member, size)
    read_content(member, path, data, from, at, size, length, show)
end

-- The value of a tag: `size` bytes at `at`, its length told at `length_at`, its item from `from` on.
local function read_tag(row, path, name, data, from, length_at, at, size, show)
    local member = row.group.members[name]
    if not member then
        if not row.group.keeps_unknown then fault(path, from, "a tag of this dialect", "another") end
        show(nil, path, from, at + size - from, shown_value(row.mask, cut(data, at, size), true))
        return
    end
    if row.group.keeps_misfits and not member.group then
        -- a text that looks like bytes in JSON is one of them, too
        if member.allowed == nil or characters(data, at, 2, member.encoding, member.page) ~= "0x" then
            local is_good, problem = pcall(read_known_tag, member, path, data, from, length_at, at, size, show)
            if is_good then return end
            if type(problem) ~= "table" then error(problem, 0) end
        end
        show(member, path, from, at + size - from, shown_value(member.mask, cut(data, at, size), true))
        return
    end
    read_known_tag(member, path, data, from, length_at, at, size, show)
end

-- The path of a tag; one that comes again is numbered from its second time on.
local function tag_path(path, name, seen, may_repeat, at)
    seen[name] = (seen[name] or 0) + 1
    local tag = path .. "." .. name
    if seen[name] == 1 then return tag end
    if not may_repeat then fault(tag, at, "each tag once", "a second one") end
    return ("%s#%d"):format(tag, seen[name])
end

local function tag_name(row, path, data, at)
    local group = row.group
    local bytes = cut(data, at, group.tag_bytes)
    if group.tag_encoding == "binary" then return to_hex(bytes) end
    if group.tag_encoding == "bcd" then
        local digits = to_hex(bytes)
        local surplus = #digits - group.tag_size
        if digits:find("[^0-9]") or (surplus == 1 and digits:sub(1, 1) ~= "0") then
            fault(path, at, "a tag in BCD", "another nibble")
        end
        return digits:sub(1 + surplus)
    end
    local text = characters(data, at, group.tag_bytes, group.tag_encoding, row.page)
    local is_hex = group.tag_encoding == "hex"
    local wrong = text:find(is_hex and "[^0-9A-F]" or "[^ -~]")
    if wrong then
        local words = is_hex and "hex digits (a tag)" or "printable characters (a tag)"
        fault(path, at + wrong - 1, words, byte_words(data, at + wrong - 1))
    end
    return (text:gsub("[.#~]", function(character) return ("~%02X"):format(character:byte()) end))
end

function groups.tlv(row, path, data, at, stop, show)
    local group, seen = row.group, {}
    local head = group.tag_bytes + group.length_bytes
    local covered = group.length_covers_tag and group.tag_bytes or 0
    while at < stop do
        local start = at + head
        if start > stop then fault(path, at, group.head_words, count_bytes(stop - at)) end
        local tag_at, length_at = at, at + group.tag_bytes
        if group.length_first then tag_at, length_at = at + group.length_bytes, at end
        local name = tag_name(row, path, data, tag_at)
        local plain = path .. "." .. name
        local size = read_number(plain, data, length_at, group.length_bytes, group.length_encoding, row.page, stop,
            group.length_digits) - covered
        local tag = tag_path(path, name, seen, group.repeats, tag_at)
        if size < 0 then
            fault(plain, length_at, ("a length of at least %d"):format(covered), ("%d"):format(size + covered))
        elseif size > stop - start then
            fault(tag, length_at, "at most " .. count_bytes(stop - start + covered),
                "a length of " .. shown_length(size + covered, group.length_digits))
        end
        read_tag(row, tag, name, data, at, length_at, start, size, show)
        at = start + size
    end
end

-- Bytes of the BER tag at `at`; 0 when it is cut off or longer than four.
local function ber_tag_size(data, at, stop)
    if data:byte(at + 1) % 32 ~= 31 then return 1 end
    for size = 2, 4 do
        if at + size > stop then return 0 end
        if data:byte(at + size) < 128 then return size end
    end
    return 0
end

-- The length of a BER tag's value at `at`, where the value begins, and whether it is in the fewest bytes: it
-- has to be, unless any form will do.
local function ber_length(path, data, at, stop, any_form)
    if at >= stop then fault(path, at, "a length", "nothing") end
    local first = data:byte(at + 1)
    if first < 128 then return first, at + 1, true end
    local count = first - 128
    if count == 0 then fault(path, at, "a definite length", "byte 0x80") end
    if count > 4 then fault(path, at, "a length of at most 4 bytes", ("byte 0x%02X"):format(first)) end
    need(path, at, count + 1, stop)
    local size = read_number(path, data, at + 1, count, "binary", nil, stop, count)
    local is_shortest = size >= 128 and size >= 256 ^ (count - 1)
    if not is_shortest and not any_form then
        fault(path, at, "the shortest form of the length", "a longer one")
    end
    return size, at + 1 + count, is_shortest
end

function groups.ber(row, path, data, at, stop, show)
    local group, seen = row.group, {}
    while at < stop do
        local first = data:byte(at + 1)
        local byte = ("%02X"):format(first)
        if group.padding[byte] then
            local from = at
            repeat at = at + 1 until at >= stop or data:byte(at + 1) ~= first
            local tag = tag_path(path, byte, seen, true, from)
            show(nil, tag, from, at - from, shown_value(row.mask, cut(data, from, at - from), true))
        else
            if first == 0 or first == 255 then fault(path, at, "a BER tag", "byte 0x" .. byte) end
            local tag_size = ber_tag_size(data, at, stop)
            if tag_size == 0 then
                local left = count_bytes(math.min(stop - at, 4))
                fault(path, at, "a BER tag of at most 4 bytes", left .. " without an end")
            end
            local name = to_hex(cut(data, at, tag_size))
            local length_at = at + tag_size
            local size, start, is_shortest = ber_length(path .. "." .. name, data, length_at, stop, group.any_length)
            local tag = tag_path(path, name, seen, group.repeats, at)
            if size > stop - start then
                local got = size <= 9999 and ("a length of %d"):format(size) or "a greater length"
                fault(tag, length_at, "at most " .. count_bytes(stop - start), got)
            end
            if not is_shortest then
                local written = cut(data, length_at, start - length_at)
                show(nil, tag .. "@length", length_at, #written, shown_value(row.mask, written, true))
            end
            read_tag(row, tag, name, data, at, length_at, start, size, show)
            at = start + size
        end
    end
end

local function end_of_group(path, at, stop)
    if at ~= stop then fault(path, at, "the end of the field", count_bytes(stop - at) .. " more") end
end

local function read_parts(row, path, data, at, stop, show)
    for _, part in ipairs(row.group.order) do
        if at == stop and part.optional then break end
        at = read_part(part, path .. "." .. part.name, data, at, stop, show)
    end
    return at
end

function groups.positional(row, path, data, at, stop, show)
    local rounds = row.group.rounds
    if rounds == 0 then
        end_of_group(path, read_parts(row, path, data, at, stop, show), stop)
        return
    end
    local round = 0
    while at < stop do
        round = round + 1
        if round > rounds then fault(path, at, ("at most %d groups"):format(rounds), "one more") end
        at = read_parts(row, ("%s.%d"):format(path, round), data, at, stop, show)
    end
end

-- The numbers of the bits that are set in `bitmap`.
local function bits_of(bitmap)
    local bits = {}
    for place = 1, #bitmap do
        local byte = bitmap:byte(place)
        for bit = 1, 8 do
            local weight = 2 ^ (8 - bit)
            if byte >= weight then
                byte = byte - weight
                bits[#bits + 1] = (place - 1) * 8 + bit
            end
        end
    end
    return bits
end

-- `size` bytes of bitmap at `at`; returns them and the offset behind.
local function read_bitmap(form, path, data, at, size, stop)
    if form.encoding == "binary" then
        need(path, at, size, stop)
        return cut(data, at, size), at + size
    end
    need(path, at, size * 2, stop)
    local text = characters(data, at, size * 2, form.encoding)
    local wrong = text:find(form.lower and "[^0-9a-f]" or "[^0-9A-F]")
    if wrong then
        local words = form.lower and "hex digits in lower case" or "hex digits in upper case"
        if form.encoding == "ebcdic" then words = words .. " in EBCDIC" end
        fault(path, at + wrong - 1, words, byte_words(data, at + wrong - 1))
    end
    return from_hex(text), at + size * 2
end

function groups.bitmapped(row, path, data, at, stop, show)
    local form, from, size, bitmap = row.group, at, row.group.size
    local is_open = form.first_bit == "announces"
    bitmap, at = read_bitmap(form, path, data, at, size, stop)
    if is_open and bitmap:byte(1) >= 128 then
        local more
        more, at = read_bitmap(form, path, data, at, size, stop)
        bitmap, size = bitmap .. more, size * 2
        if not more:find("[^\0]") then
            fault(path, from, "a bitmap no longer than its fields need", "an empty half")
        end
    end
    local per_byte = (at - from) / size
    for _, number in ipairs(bits_of(bitmap)) do
        if not (number == 1 and is_open) then
            local part = form.members[number]
            if not part then
                fault(("%s.%d"):format(path, number), from + math.floor((number - 1) / 8) * per_byte,
                    "a part of this field", ("bit %d set"):format(number))
            end
            at = read_part(part, path .. "." .. part.name, data, at, stop, show)
        end
    end
    end_of_group(path, at, stop)
end

-- ---------------------------------------------------------------- the protocol

local function new_proto(name, title)
    local made, proto = pcall(Proto, name, title)
    -- a name that Wireshark has already is refused by an error
    return made and proto or Proto(name .. "_messages", title)
end

local proto = new_proto(SPEC.proto, SPEC.title)
local prefix = SPEC.proto .. "."
local malformed = ProtoExpert.new(prefix .. "malformed", "Malformed message", expert.group.MALFORMED,
    expert.severity.ERROR)
local items = {
    length = ProtoField.uint32(prefix .. "length", "Length"),
    tpdu = ProtoField.bytes(prefix .. "tpdu", "TPDU"),
    keep_alive = ProtoField.none(prefix .. "keep_alive", "Keep-alive"),
    header = ProtoField.string(prefix .. "header", "Message header"),
    mti = ProtoField.string(prefix .. "mti", "MTI"),
    message = ProtoField.string(prefix .. "message", "Message"),
    bitmap = ProtoField.string(prefix .. "bitmap", "Bitmap"),
    unknown = ProtoField.string(prefix .. "unknown", "Unknown tag"),
    fault_path = ProtoField.string(prefix .. "fault.path", "Fault in"),
    fault_offset = ProtoField.uint32(prefix .. "fault.offset", "Fault at byte"),
    fault_expected = ProtoField.string(prefix .. "fault.expected", "Expected"),
    fault_got = ProtoField.string(prefix .. "fault.got", "Got"),
}

local registered = {}
for _, item in pairs(items) do registered[#registered + 1] = item end

-- One item per field, made from the rows; a row keeps its own.
local function register(row)
    row.item = (row.group and ProtoField.none or ProtoField.string)(prefix .. row.key, row.label)
    registered[#registered + 1] = row.item
    if row.group then
        for _, member in pairs(row.group.members or row.group.order) do register(member) end
    end
end
for _, row in pairs(SPEC.fields) do register(row) end
for _, row in ipairs(SPEC.header) do register(row) end
proto.fields = registered
proto.experts = { malformed }

-- A callable that notes in `nodes` what a reader found; a group's reader gets another for what is in it.
-- `base`: where the data begins on the line, `scale`: bytes on the line of each of its bytes.
local function noter(nodes, base, scale)
    local noted = {}
    function noted.doubled(at) return noter(nodes, base + at * scale, scale * 2) end
    local function note(_, row, path, at, size, text)
        local node = { row = row, path = path, at = base + at * scale, size = size * scale, text = text, nodes = {} }
        nodes[#nodes + 1] = node
        return noter(node.nodes, base, scale)
    end
    return setmetatable(noted, { __call = note })
end

-- Puts stars where digits make up a card number only when all values are read as one: bytes out of step.
local function mask_joined(nodes)
    local places, digits = {}, {}
    local function gather(list)
        for _, node in ipairs(list) do
            for place = 1, node.item and 0 or #(node.text or "") do
                local character = node.text:sub(place, place)
                if character:find("[0-9]") then
                    places[#places + 1] = { node, place }
                    digits[#digits + 1] = character
                end
            end
            gather(node.nodes)
        end
    end
    gather(nodes)
    card_windows(table.concat(digits), function(start, size)
        for index = start + (size >= 16 and 6 or 2), start + size - 3 do
            local node, place = places[index][1], places[index][2]
            node.text = node.text:sub(1, place - 1) .. "*" .. node.text:sub(place + 1)
        end
    end)
end

-- The label of what stands in one of several groups, or is a tag's repetition: "54.2.1 Account type".
local function own_label(node)
    return node.path .. node.row.label:sub(#node.row.path + 1)
end

-- Calls `found(at)` for each byte of a broken message that may hold what nobody may see of a card number: in
-- ASCII, EBCDIC and BCD; at the end of the bytes one may have been cut off.
local function torn_places(data, found)
    local function look(text, step)
        local at = 1
        while true do
            local start, stop = text:find("[0-9]+", at)
            if not start then return end
            local size = stop - start + 1
            if size >= SHORTEST_CARD_NUMBER then
                local masked = mask_run(text:sub(start, stop))
                for place = 1, size do
                    if masked:sub(place, place) == "*" then found(math.floor((start + place - 2) / step)) end
                end
            end
            if size >= 7 and stop == #text then
                for place = math.max(start, stop - LONGEST_CARD_NUMBER + 2) + 6, stop do
                    found(math.floor((place - 1) / step))
                end
            end
            at = stop + 1
        end
    end
    look(data, 1)
    look(from_ebcdic(data, "cp500"), 1)
    -- as characters these were looked at: as nibbles they would be found by chance
    look(to_hex((data:gsub("[0-9]+", function(run) return #run >= 7 and ("\255"):rep(#run) or run end))), 2)
end

-- Hides what holds one of these bytes and isn't masked anyway.
local function mask_torn(nodes, data, base)
    local places = {}
    torn_places(data, function(at) places[base + at] = true end)
    local function hide(list)
        for _, node in ipairs(list) do
            local is_open = not node.row or node.row.mask == "none" or node.row.mask == "mobile"
            if not node.item and node.text and is_open then
                for at = node.at, node.at + node.size - 1 do
                    if places[at] then node.text = HIDDEN end
                end
            end
            hide(node.nodes)
        end
    end
    hide(nodes)
end

-- Adds what was noted to `tree`; `found` gets the values by path.
local function draw(tree, tvb, nodes, found)
    for _, node in ipairs(nodes) do
        local range = tvb(node.at, node.size)
        if node.item then
            tree:add(node.item, range, node.bitmap or node.text)
        elseif not node.row then
            tree:add(items.unknown, range, node.path .. ": " .. node.text)
        elseif node.row.group then
            local item = tree:add(node.row.item, range)
            if node.path ~= node.row.path then item:set_text(own_label(node)) end
            draw(item, tvb, node.nodes, found)
        else
            local item = tree:add(node.row.item, range, node.text)
            if node.path ~= node.row.path then item:set_text(own_label(node) .. ": " .. node.text) end
            found[node.path] = node.text
            local meanings = SPEC.meanings[node.row.path]
            if meanings and meanings[node.text] then item:append_text(" (" .. meanings[node.text] .. ")") end
        end
    end
end

-- What the dictionary calls the message; nil when MTI and DE 3 name none.
local function message_title(mti, code)
    for _, rule in ipairs(SPEC.messages[mti] or {}) do
        if not rule.code or (code and code:find("^" .. rule.code .. "$")) then return rule.title end
    end
    return nil
end

local function read_mti(data, at)
    local spec = SPEC.mti
    need("mti", at, spec.bytes, #data)
    local packed = spec.encoding == "bcd"
    local text = packed and to_hex(cut(data, at, spec.bytes)) or characters(data, at, spec.bytes, spec.encoding)
    local wrong = text:find("[^0-9]")
    if wrong then
        local place = packed and math.floor((wrong - 1) / 2) or wrong - 1
        local got = packed and "nibble " .. text:sub(wrong, wrong) or byte_words(data, at + place)
        fault("mti", at + place, spec.encoding == "ebcdic" and "digits in EBCDIC" or "digits", got)
    end
    return text
end

-- Whether the digit or byte at `at` has its first bit set.
local function announces(data, at)
    if SPEC.bitmap.encoding == "binary" then return (data:byte(at + 1) or 0) >= 128 end
    return characters(data, at, 1, SPEC.bitmap.encoding):find("^[89A-Fa-f]") ~= nil
end

-- All bitmaps that stand together at `at`, and the offset behind them.
local function read_bitmaps(data, at)
    local form, bitmap, more = SPEC.bitmap
    local size = form.size == 8 and announces(data, at) and 16 or form.size
    bitmap, at = read_bitmap(form, "bitmap", data, at, size, #data)
    if form.third and size == 16 and bitmap:byte(9) >= 128 then
        more, at = read_bitmap(form, "bitmap", data, at, 8, #data)
        bitmap = bitmap .. more
    end
    return bitmap, at
end

local function width(size)
    return SPEC.bitmap.encoding == "binary" and size or size * 2
end

local function is_empty(bytes)
    return not bytes:find("[^\0]")
end

-- Refuses bits that announce what isn't there, or don't announce what is.
local function judge_bitmap(bitmap, start)
    local form, first = SPEC.bitmap, bitmap:byte(1) >= 128
    local got = first and "bit 1 set" or "bit 1 clear"
    if form.size == 8 then
        if #bitmap > 8 and is_empty(bitmap:sub(9)) and not form.allows_empty then
            fault("bitmap", start + width(8), "a field above 64 in the secondary bitmap", "none")
        end
    else
        local needed = not is_empty(bitmap:sub(9))
        if form.first_bit == "set" and not first then fault("bitmap", start, "bit 1 set", got) end
        if form.first_bit == "clear" and first then fault("bitmap", start, "bit 1 clear", got) end
        if form.first_bit == "announces" and first ~= needed then
            fault("bitmap", start, needed and "bit 1 set for fields above 64"
                or "bit 1 clear without fields above 64", got)
        end
    end
    if form.third and #bitmap > 16 then
        local announced, further = bitmap:byte(9) >= 128, not is_empty(bitmap:sub(17))
        if announced and not further then
            fault("bitmap", start + width(16), "a field above 128 in the tertiary bitmap", "none")
        elseif further and not announced then
            fault("bitmap", start + width(8), "bit 65 set for fields above 128", "bit 65 clear")
        end
    end
end

-- The row of field `number`, which bit `bit` of the bitmap at `start` announces.
local function row_of(number, bit, start)
    local row = SPEC.fields[number]
    if not row then
        fault(("%d"):format(number), start + width(math.floor((bit - 1) / 8)), "a field of this dialect",
            ("bit %d set"):format(number))
    end
    return row
end

-- Reads the message `data`, which begins at `base` on the line, into `nodes`.
local function read_message(data, base, nodes, found)
    local form, show, at = SPEC.bitmap, noter(nodes, base, 1), 0
    local function note(item, from, text)
        nodes[#nodes + 1] = { item = item, at = base + from, size = at - from, text = text, nodes = {} }
    end
    for _, part in ipairs(SPEC.header) do at = read_part(part, "header." .. part.name, data, at, #data, show) end
    local start, bitmap = at
    found.mti, found.mti_at = read_mti(data, at), base + at
    at = at + SPEC.mti.bytes
    note(items.mti, start, found.mti)
    start = at
    bitmap, at = read_bitmaps(data, start)
    note(items.bitmap, start, nil)
    nodes[#nodes].bitmap = to_hex(bitmap)
    local numbers, above = {}, {}
    for _, number in ipairs(bits_of(bitmap)) do
        if number ~= 1 and not (form.third and number == 65) then
            if number ~= form.tertiary_field then row_of(number, number, start) end
            numbers[#numbers + 1] = number
        end
    end
    judge_bitmap(bitmap, start)
    for _, number in ipairs(numbers) do
        if number == form.tertiary_field then
            local from, further = at
            further, at = read_bitmap(form, "bitmap", data, at, 8, #data)
            if is_empty(further) then fault("bitmap", from, "a field above 128 in the tertiary bitmap", "none") end
            note(items.bitmap, from, nil)
            nodes[#nodes].bitmap = to_hex(further)
            above = bits_of(further)
            for _, bit in ipairs(above) do row_of(128 + bit, bit, from) end
        else
            at = read_field(SPEC.fields[number], ("%d"):format(number), data, at, #data, show)
        end
    end
    for _, bit in ipairs(above) do
        at = read_field(SPEC.fields[128 + bit], ("%d"):format(128 + bit), data, at, #data, show)
    end
    if at ~= #data then fault("message", at, "the end", count_bytes(#data - at) .. " more") end
end

local function add_fault(tree, tvb, base, found)
    local range = tvb(math.min(base + found.offset, tvb:len() - 1), 1)
    tree:add_tvb_expert_info(malformed, range, ("%s at byte %d: expected %s, got %s"):format(
        found.path, found.offset, found.expected, found.got))
    tree:add(items.fault_path, range, found.path):set_generated()
    tree:add(items.fault_offset, range, found.offset):set_generated()
    tree:add(items.fault_expected, range, found.expected):set_generated()
    tree:add(items.fault_got, range, found.got):set_generated()
end

-- ---------------------------------------------------------------- frames

local FRAMING = SPEC.framing
local HEADER_BYTES = FRAMING.bytes + FRAMING.fill_bytes

-- The number the length at `at` writes; nil when it is none.
local function frame_length(data, at)
    local written = cut(data, at, FRAMING.bytes)
    if FRAMING.notation == "le" then written = written:reverse() end
    local text = nil
    if FRAMING.notation == "bcd" then
        text = to_hex(written)
    elseif FRAMING.notation == "ebcdic" then
        text = from_ebcdic(written, "cp500")
    elseif FRAMING.notation == "ascii" or FRAMING.notation == "hex" then
        text = written
    end
    if text == nil then
        local number = 0
        for place = 1, #written do number = number * 256 + written:byte(place) end
        return number
    end
    local is_hex = FRAMING.notation == "hex"
    if text:find(is_hex and "[^0-9A-Fa-f]" or "[^0-9]") then return nil end
    return tonumber(text, is_hex and 16 or 10)
end

-- Bytes of the whole frame that begins at `at`: header, TPDU, message, trailer.
local function frame_bytes(tvb, pinfo, at)
    local length = frame_length(tvb:raw(at, HEADER_BYTES), 0) or 0
    local header = FRAMING.inclusive and 0 or HEADER_BYTES
    return math.max(length + header, HEADER_BYTES)
end

local function dissect_frame(tvb, pinfo, root)
    pinfo.cols.protocol = SPEC.title_short
    local tree = root:add(proto, tvb())
    local length = frame_length(tvb:raw(), 0)
    if not length then
        local got = "bytes " .. to_hex(tvb:raw(0, FRAMING.bytes))
        add_fault(tree, tvb, 0, { path = "length", offset = 0, expected = FRAMING.words, got = got })
        return tvb:len()
    end
    tree:add(items.length, tvb(0, FRAMING.bytes), length)
    local base, stop = HEADER_BYTES, tvb:len() - FRAMING.trailer_bytes
    if stop <= base then
        tree:add(items.keep_alive, tvb())
        pinfo.cols.info:append(" Keep-alive")
        return tvb:len()
    end
    local first = tvb(base, 1):uint()
    if FRAMING.tpdu == "required" or (FRAMING.tpdu == "auto" and first == 0x60) then
        local size = math.min(5, stop - base)
        tree:add(items.tpdu, tvb(base, size))
        base = base + size
    end
    local data = stop > base and tvb:raw(base, stop - base) or ""
    local found, nodes = {}, {}
    local is_good, problem = pcall(read_message, data, base, nodes, found)
    if not is_good then
        mask_torn(nodes, data, base)
        mask_joined(nodes)
    end
    draw(tree, tvb, nodes, found)
    local title = found.mti and message_title(found.mti, found["3"])
    if title then tree:add(items.message, tvb(found.mti_at, SPEC.mti.bytes), title):set_generated() end
    local summary = { found.mti or "?", title or "" }
    for _, path in ipairs(SPEC.summary) do
        if found[path] then summary[#summary + 1] = path .. "=" .. found[path] end
    end
    if not is_good then
        -- what is no fault of the message is a fault of this file: shown by Wireshark itself
        if type(problem) ~= "table" then error(problem, 0) end
        add_fault(tree, tvb, base, problem)
        summary[#summary + 1] = "[malformed: " .. problem.path .. "]"
    end
    local line = table.concat(summary, " ")
    tree:append_text(": " .. line)
    pinfo.cols.info:append(" " .. line)
    return tvb:len()
end

function proto.dissector(tvb, pinfo, root)
    pinfo.cols.info:clear()
    dissect_tcp_pdus(tvb, root, HEADER_BYTES, frame_bytes, dissect_frame)
    return tvb:len()
end

local ports = DissectorTable.get("tcp.port")
for _, port in ipairs(SPEC.ports) do ports:add(port, proto) end
-- so that any other port can be decoded by hand ("Decode As")
if ports.add_for_decode_as then ports:add_for_decode_as(proto) end
