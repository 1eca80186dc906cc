-- Packs and unpacks the values of the ledger. Each begins with a byte that names its format; all integers are
-- big-endian. struct.pack cuts a number that is too large without an error, so callers check every bound before.

local records = {}

local sub = (('').sub) -- faster than calling it as a method
local NARROW_MAX = 2 ^ 24 - 1
local COUNT_MAX = 65535
records.REDEEMED = 1 -- state of a used coupon; 0: it was given back

-- Coupon: format * 16 + state 1 · redeemed at 4 (Unix seconds) · request digest 10 · order digest 6 · customer digest 8
-- · discount 3 or 8 (minor units) · generation 2 or missing (then it is 0) · offer 2 or missing (then it is 0).
-- The bits of format - 1 say which: 1 discount has 8 bytes · 2 generation is there · 4 offer is there.
local COUPON_FORMATS = {}
for format = 1, 8 do
  local bits = format - 1
  COUPON_FORMATS[format] = '>BI4c10c6c8' .. (bits % 2 >= 1 and 'I8' or 'I3') .. (bits % 4 >= 2 and 'I2' or '')
    .. (bits >= 4 and 'I2' or '')
end

-- The record of a coupon that is used now. `packed` has, from `at` on, the digests and the discount in 3 bytes as the
-- record has them.
local used_seconds, used_stamp = nil, nil -- the first bytes of most records of this second
function records.pack_used_coupon(seconds, packed, at, discount, generation, offer)
  local narrow = sub(packed, at, at + 26)
  if discount <= NARROW_MAX and generation == 0 and offer == 0 then
    if used_seconds ~= seconds then
      used_seconds, used_stamp = seconds, struct.pack('>BI4', 16 + records.REDEEMED, seconds)
    end
    return used_stamp .. narrow
  end
  local format, rest = 1, ''
  if discount > NARROW_MAX then format, narrow = 2, narrow:sub(1, 24) .. struct.pack('>I8', discount) end
  if generation > 0 then format, rest = format + 2, struct.pack('>I2', generation) end
  if offer > 0 then format, rest = format + 4, rest .. struct.pack('>I2', offer) end
  return struct.pack('>BI4', format * 16 + records.REDEEMED, seconds) .. narrow .. rest
end

function records.unpack_coupon(value)
  local head = value:byte(1)
  local bits = math.floor(head / 16) - 1
  local format = COUPON_FORMATS[bits + 1]
  -- A newer version may know more states. A coupon in such a state must not be taken for an unused one.
  if not format or head % 16 > records.REDEEMED then error('coupon record of unknown format ' .. head) end
  local _, redeemed_at, request, order, customer, discount, one, two = struct.unpack(format, value)
  local has_generation = bits % 4 >= 2
  return {
    state = head % 16, redeemed_at = redeemed_at, request = request, order = order, customer = customer,
    discount = discount, generation = has_generation and one or 0,
    offer = bits >= 4 and (has_generation and two or one) or 0,
  }
end

-- Counters of a customer in a campaign. day: days since 1970 in the campaign's zone, of the last redemption.
-- One redemption: format 2 · day 2. More: format 1 · redemptions 2 · day 2 · redemptions on that day 2.
-- A count that has reached 65,535 stays there; no limit can be higher.
local once_day, once_record = nil, nil -- the last record of one redemption: most customers redeem once, many on one day
function records.pack_customer(redeemed, day, today)
  if redeemed == 1 and today == 1 then
    if once_day ~= day then once_day, once_record = day, struct.pack('>BI2', 2, day) end
    return once_record
  end
  return struct.pack('>BI2I2I2', 1, math.min(redeemed, COUNT_MAX), day, math.min(today, COUNT_MAX))
end

-- Returns redemptions, day, and redemptions on that day.
function records.unpack_customer(value)
  local format = value:byte(1)
  if format == 2 then return 1, (struct.unpack('>I2', value, 2)), 1 end
  if format ~= 1 then error('customer record of unknown format ' .. format) end
  local redeemed, day, today = struct.unpack('>I2I2I2', value, 2)
  return redeemed, day, today
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

-- Remembered request of another kind than an order: format 3 · content digest 8 · the answer as text.
function records.pack_request_text(content, answer) return struct.pack('>Bc8', 3, content) .. answer end

function records.request_text(value) return value:sub(10) end

function records.is_approval(value) return value:byte(1) ~= 3 end

local CONTENT_AT = { 2, 2, 2, 6 } -- by format
function records.request_content(value)
  local format = value:byte(1)
  local at = format == 5 and 7 + 2 * value:byte(6) or CONTENT_AT[format]
  if not at or #value < at + 7 then error('request record of unknown format ' .. (format or 'none')) end
  return value:sub(at, at + 7)
end

return records
