-- The packed values of the ledger. Each begins with a byte that names its format; all integers are big-endian.
-- struct.pack wraps silently, so whatever is packed here is bounded before.

local NARROW_MAX = 2 ^ 24 - 1
local COUNT_MAX = 65535
local REDEEMED = 1 -- 0 is a coupon that was given back

-- Coupon: format*16+state 1 · redeemed at 4 (Unix seconds) · request digest 10 · order digest 6 · customer digest 8 ·
-- discount 3 (formats 1 and 3) or 8 (formats 2 and 4), minor units · generation 2 (formats 3 and 4; else it is 0).
local COUPON_FORMATS = { '>BI4c10c6c8I3', '>BI4c10c6c8I8', '>BI4c10c6c8I3I2', '>BI4c10c6c8I8I2' }

local function pack_used_coupon(redeemed_at, request, order, customer, discount, generation)
  local format = (discount <= NARROW_MAX and 1 or 2) + (generation > 0 and 2 or 0)
  return struct.pack(COUPON_FORMATS[format], format * 16 + REDEEMED, redeemed_at, request, order, customer, discount,
    generation)
end

local function unpack_coupon(value)
  local head = value:byte(1)
  local format = COUPON_FORMATS[math.floor(head / 16)]
  -- A newer version may know other states; what is not understood is not taken for unused.
  if not format or head % 16 > REDEEMED then error('coupon record of unknown format ' .. head) end
  local _, redeemed_at, request, order, customer, discount, generation = struct.unpack(format, value)
  return {
    state = head % 16, redeemed_at = redeemed_at, request = request, order = order, customer = customer,
    discount = discount, generation = math.floor(head / 16) > 2 and generation or 0,
  }
end

-- Customer of a campaign: format 1 · redemptions 2 · day 2 (days since 1970 in the campaign's zone) · of which today 2.
-- A count that has reached 65,535 stays there; no limit can be higher.
local function pack_customer(customer)
  return struct.pack('>BI2I2I2', 1, math.min(customer.redeemed, COUNT_MAX), customer.day,
    math.min(customer.today, COUNT_MAX))
end

local function unpack_customer(value)
  if not value then return 0, 0, 0 end
  local format, redeemed, day, today = struct.unpack('>BI2I2I2', value)
  if format ~= 1 then error('customer record of unknown format ' .. format) end
  return redeemed, day, today
end

-- Remembered request: format 1 · content digest 8 · decided at 4 (Unix seconds) · tokens 1 and generation 2 each
-- (format 2 only; format 1 means that all are 0) · the answer as the server wrote it.
local function pack_request(content, decided_at, tokens, answer)
  local all_zero, generations = true, ''
  for index = 1, #tokens do all_zero = all_zero and tokens[index].generation == 0 end
  if all_zero then return struct.pack('>Bc8I4', 1, content, decided_at) .. answer end
  for index = 1, #tokens do generations = generations .. struct.pack('>I2', tokens[index].generation) end
  return struct.pack('>Bc8I4B', 2, content, decided_at, #tokens) .. generations .. answer
end

-- Remembered request whose answer is no approval: format 3 · content digest 8 · the answer as text.
local function pack_request_text(content, answer) return struct.pack('>Bc8', 3, content) .. answer end

local function request_text(value) return value:sub(10) end

local function is_approval(value) return value:byte(1) < 3 end

local function request_content(value)
  local format, content = struct.unpack('>Bc8', value)
  if format < 1 or format > 3 then error('request record of unknown format ' .. format) end
  return content
end
