-- Packs and unpacks the values of the ledger. Each begins with a byte that names its format; all integers are
-- big-endian. struct.pack cuts a number that is too large without an error, so callers check every bound before.

local records = {}

local sub = (('').sub) -- faster than calling it as a method
local NARROW_MAX = 2 ^ 24 - 1
local COUNT_MAX = 65535
-- States of a coupon: free (it was given back, or held when it had been), used, and held.
records.FREE, records.REDEEMED, records.HELD = 0, 1, 2

-- Coupon that is used: format * 16 + state 1 · redeemed at 4 (Unix seconds) · request digest 10 · order digest 6 ·
-- customer digest 8 (zeros: none) · and then, in
--   format 9   discount 3 (minor units) · the day on which it is counted 2
--   format 10  flags 1 · that day 2 · discount 3, or 8 with flag 1 · with flag 2: generation 2 · with flag 4: offer 2 ·
--              with flag 8: the slot in which it is counted 4 · with flag 16: merchants' share of the discount 8 (minor
--              units). What is missing is 0
--   1 to 8     written before coupons could be given back. The bits of format - 1 say what there is: discount 3, or 8
--              with bit 1 · with bit 2: generation 2 · with bit 4: offer 2
-- A coupon that was given back has its last use in format 10, with the state `free` and the next generation.
local PLAIN, FLAGGED = 9, 10
local WIDE, GENERATION, OFFER, SLOT, MERCHANT = 1, 2, 4, 8, 16
local DIGESTS_AT, DIGESTS = 6, 24
local REST_AT = DIGESTS_AT + DIGESTS

local used_seconds, used_stamp = nil, nil -- the first bytes of most records of this second

-- The record of a coupon that is used now, of which only discount and day are not 0. plain: digests 24 · discount 3 · day
-- 2, as the record has them.
function records.pack_plain_coupon(seconds, plain)
  if used_seconds ~= seconds then
    used_seconds, used_stamp = seconds, struct.pack('>BI4', PLAIN * 16 + records.REDEEMED, seconds)
  end
  return used_stamp .. plain
end

-- The record of any coupon that is used or free. digests: of request, order and customer · counted: has day and slot
function records.pack_coupon(state, seconds, digests, discount, generation, offer, day, slot, merchant)
  local flags, rest = 0, ''
  if discount > NARROW_MAX then flags = WIDE end
  if generation > 0 then flags, rest = flags + GENERATION, struct.pack('>I2', generation) end
  if offer > 0 then flags, rest = flags + OFFER, rest .. struct.pack('>I2', offer) end
  if slot > 0 then flags, rest = flags + SLOT, rest .. struct.pack('>I4', slot) end
  if merchant > 0 then flags, rest = flags + MERCHANT, rest .. struct.pack('>I8', merchant) end
  return struct.pack('>BI4', FLAGGED * 16 + state, seconds) .. digests .. struct.pack('>BI2', flags, day)
    .. struct.pack(discount > NARROW_MAX and '>I8' or '>I3', discount) .. rest
end

-- A coupon that is free, and was given back before. Its last use is not known any more.
local NO_DIGESTS = ('\0'):rep(DIGESTS)
function records.pack_free_coupon(generation)
  return records.pack_coupon(records.FREE, 0, NO_DIGESTS, 0, generation, 0, 0, 0, 0)
end

-- Returns the number at a place if it is there, else 0; and the next place.
local function number_at(value, at, is_there, layout)
  if not is_there then return 0, at end
  return struct.unpack(layout, value, at)
end

-- Returns discount, generation, offer, day, slot and merchants' share of the record of a coupon that is used or free.
local function unpack_rest(format, value)
  if format == PLAIN then
    local discount, day = struct.unpack('>I3I2', value, REST_AT)
    return discount, 0, 0, day, 0, 0
  end
  local flags, day, at = format - 1, 0, REST_AT -- the first three flags are the bits of the formats up to 8
  if format == FLAGGED then flags, day, at = struct.unpack('>BI2', value, at) end
  local discount, generation, offer, slot, merchant
  discount, at = struct.unpack(flags % 2 >= WIDE and '>I8' or '>I3', value, at)
  generation, at = number_at(value, at, flags % 4 >= GENERATION, '>I2')
  offer, at = number_at(value, at, flags % 8 >= OFFER, '>I2')
  slot, at = number_at(value, at, flags % 16 >= SLOT, '>I4')
  merchant = number_at(value, at, flags >= MERCHANT, '>I8')
  return discount, generation, offer, day, slot, merchant
end

-- A coupon that is held: format * 16 + state 1 · until when 4 (Unix seconds) · order digest 6 · generation 2 or missing
-- (then it is 0, and the format 1; else 3). The order's hold says the rest.
local HELD_COUPON_BYTES = { 11, false, 13 }
local held_until, held_stamp = nil, nil -- the first bytes of most of these records of this second
function records.pack_held_coupon(expires, order, generation)
  if generation > 0 then return struct.pack('>BI4', 3 * 16 + records.HELD, expires) .. order .. struct.pack('>I2', generation) end
  if held_until ~= expires then held_until, held_stamp = expires, struct.pack('>BI4', 16 + records.HELD, expires) end
  return held_stamp .. order
end

local function unpack_held_coupon(head, value)
  local format = math.floor(head / 16)
  if #value ~= HELD_COUPON_BYTES[format] then error('coupon record of unknown format ' .. head) end
  local _, expires, order = struct.unpack('>BI4c6', value)
  local generation = format == 3 and struct.unpack('>I2', value, 12) or 0
  return {
    state = records.HELD, redeemed_at = 0, request = '', order = order, customer = '', discount = 0,
    generation = generation, offer = 0, day = 0, slot = 0, merchant = 0, expires = expires,
  }
end

function records.unpack_coupon(value)
  local head = value:byte(1)
  if head % 16 == records.HELD then return unpack_held_coupon(head, value) end
  local format = math.floor(head / 16)
  -- A newer version may know more states. A coupon in such a state must not be taken for an unused one.
  if format < 1 or format > FLAGGED or head % 16 > records.REDEEMED then
    error('coupon record of unknown format ' .. head)
  end
  local _, redeemed_at, request, order, customer = struct.unpack('>BI4c10c6c8', value)
  local discount, generation, offer, day, slot, merchant = unpack_rest(format, value)
  return {
    state = head % 16, redeemed_at = redeemed_at, request = request, order = order, customer = customer,
    discount = discount, generation = generation, offer = offer, day = day, slot = slot, merchant = merchant, expires = 0,
  }
end

-- The hold of an order: format 1 · until when 4 (Unix seconds) · terms 6 (two requests with the same terms hold the same
-- coupons for the same discount) · customer digest 8, missing in formats 1 and 2 · of each token: campaign 4 · serial 5 ·
-- day 2 · in formats 2 and 4 slot 4 and discount 8, in 1 and 3 discount 3 (minor units).
local HOLD_TOKENS = { '>I4I5I2I3', '>I4I5I2I4I8', '>I4I5I2I3', '>I4I5I2I4I8' }
local HOLD_TOKEN_BYTES = { 14, 23, 14, 23 }

-- tokens: those of an order, see limits.lua; customer: the digest, or false
function records.pack_hold(expires, terms, customer, tokens, count)
  local format, packed = 1, ''
  for index = 1, count do
    if tokens[index].discount > NARROW_MAX or tokens[index].slot > 0 then format = 2 end
  end
  for index = 1, count do
    local token = tokens[index]
    if format == 1 then
      packed = packed .. struct.pack(HOLD_TOKENS[1], token.number, token.serial, token.day, token.discount)
    else
      packed = packed .. struct.pack(HOLD_TOKENS[2], token.number, token.serial, token.day, token.slot, token.discount)
    end
  end
  return struct.pack('>BI4', format + (customer and 2 or 0), expires) .. terms .. (customer or '') .. packed
end

function records.unpack_hold(value)
  local format, expires, terms = struct.unpack('>BI4c6', value)
  local layout, size = HOLD_TOKENS[format], HOLD_TOKEN_BYTES[format]
  if not layout then error('hold of unknown format ' .. format) end
  local hold = { expires = expires, terms = terms, customer = format > 2 and sub(value, 12, 19), tokens = {} }
  for at = format > 2 and 20 or 12, #value, size do
    local number, serial, day, four, five = struct.unpack(layout, value, at)
    local has_slot = size > HOLD_TOKEN_BYTES[1]
    hold.tokens[#hold.tokens + 1] = {
      number = number, serial = serial, day = day, slot = has_slot and four or 0, discount = has_slot and five or four,
    }
  end
  return hold
end

-- The record of a coupon that is given back whole, so that it can be used again. coupon: its use · stored: its record
function records.pack_given_back(coupon, stored)
  return records.pack_coupon(records.FREE, coupon.redeemed_at, sub(stored, DIGESTS_AT, DIGESTS_AT + DIGESTS - 1),
    coupon.discount, coupon.generation + 1, coupon.offer, coupon.day, coupon.slot, coupon.merchant)
end

-- What was given back of a coupon that is used: format 1 · how often 2 · in all 8 · merchants' share of it 8 (minor units)
-- · of its lines, opaque.
local RETURNED = '>BI2I8I8'
function records.pack_returned(returned)
  return struct.pack(RETURNED, 1, returned.count, returned.discount, returned.merchant) .. returned.lines
end

function records.unpack_returned(value)
  local format, count, discount, merchant, at = struct.unpack(RETURNED, value)
  if format ~= 1 then error('what was given back, in unknown format ' .. format) end
  return { count = count, discount = discount, merchant = merchant, lines = sub(value, at) }
end

-- Counters of a customer in a campaign. day: days since 1970 in the campaign's zone, of the last redemption.
-- One redemption: format 2 · day 2. More: format 1 · redemptions 2 · day 2 · redemptions on that day 2. With holds:
-- format 3 · redemptions 2 · day 2 · redemptions on that day 2 · of each held coupon: until when 4 (Unix seconds) · day 2.
-- A count that has reached 65,535 stays there; no limit can be higher.
local once_day, once_record = nil, nil -- the last record of one redemption: most customers redeem once, many on one day
function records.pack_customer(redeemed, day, today, holds)
  if holds ~= '' then
    return struct.pack('>BI2I2I2', 3, math.min(redeemed, COUNT_MAX), day, math.min(today, COUNT_MAX)) .. holds
  end
  if redeemed == 1 and today == 1 then
    if once_day ~= day then once_day, once_record = day, struct.pack('>BI2', 2, day) end
    return once_record
  end
  return struct.pack('>BI2I2I2', 1, math.min(redeemed, COUNT_MAX), day, math.min(today, COUNT_MAX))
end

-- Returns redemptions, day, redemptions on that day, and the holds as they are packed.
function records.unpack_customer(value)
  local format = value:byte(1)
  if format == 2 then return 1, (struct.unpack('>I2', value, 2)), 1, '' end
  if format ~= 1 and format ~= 3 then error('customer record of unknown format ' .. format) end
  local redeemed, day, today = struct.unpack('>I2I2I2', value, 2)
  return redeemed, day, today, format == 3 and sub(value, 8) or ''
end

-- Claims of a customer or a person of a campaign: format 1 · claims 4.
function records.pack_claims(claims) return struct.pack('>BI4', 1, claims) end

function records.unpack_claims(value)
  local format, claims = struct.unpack('>BI4', value)
  if format ~= 1 then error('claims record of unknown format ' .. format) end
  return claims
end

-- Remembered request that was approved: format 4 · decided at 4 (Unix seconds) · content digest 8 · the answer as the
-- server wrote it. If a coupon of it was given back before: format 5 · decided at 4 · tokens 1 · generation 2 of each
-- token · content digest 8 · the answer. Formats 1 and 2 were written by ledger format 2: format · content digest 8 ·
-- decided at 4 · in format 2 tokens 1 and generation 2 of each · the answer.
-- rest: content digest and answer. generations: 2 bytes for each token, or nil when all are 0.
local request_seconds, request_stamp = nil, nil -- the first bytes of most records of this second
function records.pack_request(seconds, generations, rest)
  if request_seconds ~= seconds then request_seconds, request_stamp = seconds, struct.pack('>BI4', 4, seconds) end
  if not generations then return request_stamp .. rest end
  return struct.pack('>BI4B', 5, seconds, #generations / 2) .. generations .. rest
end

-- Remembered request that was approved with a hold: format 6 · decided at 4 · held until 4 (Unix seconds) · content digest 8
-- · the answer. If a coupon of it was given back before: format 7 · decided at 4 · held until 4 · tokens 1 · generation 2
-- of each token · content digest 8 · the answer.
function records.pack_held_request(seconds, expires, generations, rest)
  if not generations then return struct.pack('>BI4I4', 6, seconds, expires) .. rest end
  return struct.pack('>BI4I4B', 7, seconds, expires, #generations / 2) .. generations .. rest
end

-- Remembered request of another kind than an order: format 3 · content digest 8 · the answer as text.
function records.pack_request_text(content, answer) return struct.pack('>Bc8', 3, content) .. answer end

function records.request_text(value) return value:sub(10) end

function records.is_approval(value) return value:byte(1) ~= 3 end

local CONTENT_AT = { 2, 2, 2, 6, false, 10 } -- by format
local COUNT_AT = { [5] = 6, [7] = 10 }
function records.request_content(value)
  local format = value:byte(1)
  local count_at = COUNT_AT[format]
  local at = count_at and count_at + 1 + 2 * value:byte(count_at) or CONTENT_AT[format]
  if not at or #value < at + 7 then error('request record of unknown format ' .. (format or 'none')) end
  return value:sub(at, at + 7)
end

return records
