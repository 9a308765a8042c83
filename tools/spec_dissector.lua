-- ---------------------------------------------------------------- reader
-- Everything below is the same for every dialect; SPEC above is all it knows of one. Values are shown as the
-- kit shows them: masked. The bytes pane and exported bytes are the capture itself, which nothing can mask.
-- Runs on the Lua 5.2 to 5.4 of Wireshark: no bit operators, no integer division.

local HIDDEN = "[hidden]"
local SHORTEST_CARD_NUMBER, LONGEST_CARD_NUMBER, USUAL_CARD_NUMBER = 13, 19, 16

-- ---------------------------------------------------------------- masks

local function mask_card_number(number)
    local size = #number
    if size >= 16 then
        return number:sub(1, 6) .. ("*"):rep(size - 10) .. number:sub(-4)
    elseif size > 4 then
        return number:sub(1, 2) .. ("*"):rep(size - 4) .. number:sub(-2)
    end
    return ("*"):rep(size)
end

local function mask_track2(track)
    local number = track:gsub("D", "="):match("^([^=]*)=")
    return number and mask_card_number(number) .. "=..." or HIDDEN
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

local function mask_run(run)
    if #run < SHORTEST_CARD_NUMBER then return run end
    if #run <= LONGEST_CARD_NUMBER and luhn_valid(run) then return mask_card_number(run) end
    local shown = run
    for start = 1, #run - USUAL_CARD_NUMBER + 1 do
        local window = run:sub(start, start + USUAL_CARD_NUMBER - 1)
        if window:sub(1, 1) ~= "0" and luhn_valid(window) then
            shown = shown:sub(1, start + 5) .. ("*"):rep(USUAL_CARD_NUMBER - 10)
                .. shown:sub(start + USUAL_CARD_NUMBER - 4)
        end
    end
    return shown
end

local function mask_text(text)
    return (text:gsub("[0-9]+", mask_run))
end

local function to_hex(bytes)
    return (bytes:gsub(".", function(byte) return ("%02X"):format(byte:byte()) end))
end

local function mask_bytes(bytes)
    local hex = to_hex(bytes)
    if mask_text(hex) ~= hex or mask_text(bytes) ~= bytes then
        return ("[%d bytes hidden]"):format(#bytes)
    end
    return hex
end

local function shown_value(mask, value, is_bytes)
    if mask == "hidden" then return HIDDEN end
    if is_bytes then return mask == "none" and mask_bytes(value) or HIDDEN end
    if mask == "pan" then return mask_card_number(value) end
    if mask == "track2" then return mask_track2(value) end
    return mask_text(value)
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

local function from_ebcdic(bytes)
    return (bytes:gsub(".", function(byte) return SPEC.ebcdic[byte:byte()] or "\255" end))
end

local function from_hex(text)
    return (text:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function characters(data, at, size, encoding)
    local bytes = cut(data, at, size)
    return encoding == "ebcdic" and from_ebcdic(bytes) or bytes
end

-- Whether `bytes` are decimal digits of the encoding, and the number. BCD: `digits` of the nibbles count.
local function read_number(path, data, at, size, encoding, stop)
    need(path, at, size, stop)
    local text
    if encoding == "binary" then
        local number = 0
        for place = 1, size do number = number * 256 + data:byte(at + place) end
        return number
    elseif encoding == "bcd" then
        text = to_hex(cut(data, at, size))
    else
        text = characters(data, at, size, encoding)
    end
    local wrong = text:find("[^0-9]")
    if wrong then
        local place = encoding == "bcd" and math.floor((wrong - 1) / 2) or wrong - 1
        local words = encoding == "bcd" and "a length in BCD" or "a length in digits"
        local got = encoding == "bcd" and "nibble " .. text:sub(wrong, wrong)
            or ("byte 0x%02X"):format(data:byte(at + place + 1))
        fault(path, at + place, words, got)
    end
    return tonumber(text)
end

-- ---------------------------------------------------------------- content of one field

-- Bytes that `length` units take on the wire.
local function size_of(row, length)
    if row.unit == "digits" or row.unit == "nibbles" then return math.floor((length + 1) / 2) end
    return length * (row.bytes_per_unit or 1)
end

local function check_class(row, text, data, at)
    local wrong = text:find(row.refused)
    if wrong then
        fault(row.path, at + wrong - 1, row.words, ("byte 0x%02X"):format(data:byte(at + wrong)))
    end
end

local readers = {}

function readers.bcd(row, data, at, length)
    local size = math.floor((length + 1) / 2)
    local nibbles = to_hex(cut(data, at, size))
    local start, pad_place = 1, 0
    if length % 2 == 1 then
        pad_place = row.pad_side == "left" and 1 or #nibbles
        start = row.pad_side == "left" and 2 or 1
    end
    local separators = row.content == "z" and row.separators or ""
    for place = 1, #nibbles do
        local nibble = nibbles:sub(place, place)
        local is_digit = nibble:find("[0-9]")
        local got = is_digit and "a digit" or "nibble " .. nibble
        if place == pad_place then
            if row.pad and nibble ~= row.pad then
                fault(row.path, at + math.floor((place - 1) / 2), "pad nibble " .. row.pad, got)
            end
        elseif not is_digit and not separators:find(nibble, 1, true) then
            local words = row.content == "z" and "digits and separators" or "digits"
            fault(row.path, at + math.floor((place - 1) / 2), words, got)
        end
    end
    local value = nibbles:sub(start, start + length - 1)
    return row.content == "z" and value:gsub("D", "=") or value, false
end

function readers.ascii(row, data, at, length)
    local value = cut(data, at, length)
    check_class(row, value, data, at)
    return value, false
end

function readers.ebcdic(row, data, at, length)
    local value = from_ebcdic(cut(data, at, length))
    check_class(row, value, data, at)
    return value, false
end

function readers.binary(row, data, at, length)
    return cut(data, at, size_of(row, length)), true
end

function readers.hex(row, data, at, length)
    local text = cut(data, at, size_of(row, length))
    local wrong = text:find("[^0-9A-Fa-f]")
    if wrong then fault(row.path, at + wrong - 1, "hex digits", ("byte 0x%02X"):format(text:byte(wrong))) end
    return from_hex(text), true
end

-- ---------------------------------------------------------------- fields and groups

local groups = {}

-- Shows the value of `row` at `at`, `length` units long; `from` is where its item begins (its prefix or tag).
local function read_value(row, data, from, at, length, stop, show)
    local size = size_of(row, length)
    need(row.path, at, size, stop)
    if row.group then
        local branch = show(row, from, at + size - from)
        groups[row.group.kind](row, data, at, at + size, branch)
    else
        local value, is_bytes = readers[row.encoding](row, data, at, length)
        show(row, from, at + size - from, shown_value(row.mask, value, is_bytes))
    end
    return at + size
end

-- Length and value of `row` at `at`; returns the offset behind it.
local function read_field(row, data, at, stop, show)
    local prefix = row.prefix
    if not prefix then return read_value(row, data, at, at, row.max, stop, show) end
    local length = read_number(row.path, data, at, prefix.bytes, prefix.encoding, stop)
    if length < row.min or length > row.max then
        fault(row.path, at, "a length of " .. row.range, ("%d"):format(length))
    end
    return read_value(row, data, at, at + prefix.bytes, length, stop, show)
end

local function unknown_member(row, name)
    return { path = row.path .. "." .. name, mask = row.mask, unknown = true }
end

function groups.tlv(row, data, at, stop, show)
    local group, seen = row.group, {}
    while at < stop do
        local start = at + group.tag_bytes + group.length_bytes
        if start > stop then fault(row.path, at, "a tag and a length byte", count_bytes(stop - at)) end
        local name = cut(data, at, group.tag_bytes)
        name = group.tag_encoding == "binary" and to_hex(name) or characters(data, at, group.tag_bytes, group.tag_encoding)
        local member = group.members[name]
        local path = row.path .. "." .. name
        if seen[name] then fault(path, at, "each tag once", "a second one") end
        seen[name] = true
        local size = read_number(path, data, at + group.tag_bytes, group.length_bytes, group.length_encoding, stop)
        if start + size > stop then
            fault(path, at + group.tag_bytes, "at most " .. count_bytes(stop - start), ("a length of %d"):format(size))
        end
        if not member then
            show(unknown_member(row, name), at, start + size - at, shown_value(row.mask, cut(data, start, size), true))
        else
            if size ~= size_of(member, member.max) then
                fault(path, at + group.tag_bytes, "a length of " .. count_bytes(size_of(member, member.max)),
                    ("%d"):format(size))
            end
            read_value(member, data, at, start, member.max, stop, show)
        end
        at = start + size
    end
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
    left_over = ProtoField.string(prefix .. "left_over", "Left over"),
    fault_path = ProtoField.string(prefix .. "fault.path", "Fault in"),
    fault_offset = ProtoField.uint32(prefix .. "fault.offset", "Fault at byte"),
    fault_expected = ProtoField.string(prefix .. "fault.expected", "Expected"),
    fault_got = ProtoField.string(prefix .. "fault.got", "Got"),
}

local registered = {}
for _, item in pairs(items) do registered[#registered + 1] = item end

-- One item per field, made from the rows; a row keeps its own.
local function register(row)
    local make = row.group and ProtoField.none or ProtoField.string
    row.item = make(prefix .. row.key, row.label)
    registered[#registered + 1] = row.item
    if row.group then
        for _, member in pairs(row.group.members) do register(member) end
    end
end
for _, row in pairs(SPEC.fields) do register(row) end
proto.fields = registered
proto.experts = { malformed }

-- Adds what a reader found to `tree`; the reader of a group gets the same for its branch.
local function shower(tree, tvb, base, found)
    return function(row, at, size, text)
        local range = tvb(base + at, size)
        if row.unknown then
            tree:add(items.unknown, range, row.path .. ": " .. text)
            return nil
        elseif row.group then
            return shower(tree:add(row.item, range), tvb, base, found)
        end
        local item = tree:add(row.item, range, text)
        found[row.path] = text
        local meanings = SPEC.meanings[row.path]
        if meanings and meanings[text] then item:append_text(" (" .. meanings[text] .. ")") end
        return nil
    end
end

-- The numbers of the bits that are set in `size` bytes of `data`.
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

-- What the dictionary calls the message; nil when MTI and DE 3 name none.
local function message_title(mti, code)
    local rules = SPEC.messages[mti] or {}
    return rules["-"] or rules[code or ""] or rules["*"]
end

local function read_mti(data)
    local spec = SPEC.mti
    need("mti", 0, spec.bytes, #data)
    local text = spec.encoding == "bcd" and to_hex(cut(data, 0, spec.bytes))
        or characters(data, 0, spec.bytes, spec.encoding)
    local wrong = text:find("[^0-9]")
    if wrong then
        local place = spec.encoding == "bcd" and math.floor((wrong - 1) / 2) or wrong - 1
        fault("mti", place, "digits", spec.encoding == "bcd" and "nibble " .. text:sub(wrong, wrong)
            or ("byte 0x%02X"):format(data:byte(wrong)))
    end
    return text
end

local function read_message(data, tvb, base, tree, found)
    local show = shower(tree, tvb, base, found)
    local mti = read_mti(data)
    found.mti = mti
    tree:add(items.mti, tvb(base, SPEC.mti.bytes), mti)
    local at = SPEC.mti.bytes
    need("bitmap", at, 1, #data)
    local size = data:byte(at + 1) >= 128 and 16 or 8
    need("bitmap", at, size, #data)
    local bitmap = cut(data, at, size)
    tree:add(items.bitmap, tvb(base + at, size), to_hex(bitmap))
    local rows = {}
    for _, number in ipairs(bits_of(bitmap)) do
        if number ~= 1 then
            local row = SPEC.fields[number]
            if not row then
                fault(("%d"):format(number), at + math.floor((number - 1) / 8), "a field of this dialect",
                    ("bit %d set"):format(number))
            end
            rows[#rows + 1] = row
        end
    end
    at = at + size
    for _, row in ipairs(rows) do at = read_field(row, data, at, #data, show) end
    if at ~= #data then
        tree:add(items.left_over, tvb(base + at), HIDDEN)
        fault("message", at, "the end", count_bytes(#data - at) .. " more")
    end
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

local function frame_length(data, at)
    local written = cut(data, at, FRAMING.bytes)
    if FRAMING.notation == "le" then written = written:reverse() end
    local text = nil
    if FRAMING.notation == "bcd" then
        text = to_hex(written)
    elseif FRAMING.notation == "ebcdic" then
        text = from_ebcdic(written)
    elseif FRAMING.notation == "ascii" or FRAMING.notation == "hex" then
        text = written
    end
    if text == nil then
        local number = 0
        for place = 1, #written do number = number * 256 + written:byte(place) end
        return number
    end
    local is_hex = FRAMING.notation == "hex"
    if text:find(is_hex and "[^0-9A-Fa-f]" or "[^0-9]") then return 0 end
    return tonumber(text, is_hex and 16 or 10)
end

-- Bytes of the whole frame that begins at `at`: header, TPDU, message, trailer.
local function frame_bytes(tvb, pinfo, at)
    local length = frame_length(tvb:raw(at, HEADER_BYTES), 0)
    local header = FRAMING.inclusive and 0 or HEADER_BYTES
    return math.max(length + header, HEADER_BYTES)
end

local function dissect_frame(tvb, pinfo, root)
    pinfo.cols.protocol = SPEC.title_short
    local tree = root:add(proto, tvb())
    tree:add(items.length, tvb(0, FRAMING.bytes), frame_length(tvb:raw(), 0))
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
    local found = {}
    local is_good, problem = pcall(read_message, data, tvb, base, tree, found)
    local title = found.mti and message_title(found.mti, found["3"])
    if title then tree:add(items.message, tvb(base, SPEC.mti.bytes), title):set_generated() end
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
-- so that any other port can be decoded by hand ("Decode As…")
if ports.add_for_decode_as then ports:add_for_decode_as(proto) end
