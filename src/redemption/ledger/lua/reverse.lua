-- reverse (V): gives a redemption back, wholly or in part.
--
-- Item     big-endian: V · 0 (it has no checks, see velocity.lua) · request digest 10 · content digest 8 · order digest 6
--          · campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · generation 2 · redeemed at 4
--          (Unix seconds; both as the receipt says) · since 8 · until 8 (Unix ms; the judgement holds from since on and
--          before until) · judgement 1 (1: what is given back whole can be used again · 2: the time for returns is over)
--          · how often something of this use was given back before 2 (65535: any number of times, and all that is left is
--          given back) · discount 8 · given back then in all 8 · merchants' share of that 8 (minor units; all three 0 with
--          65535) · bytes of the lines 4 · the lines that the record will have · bytes of the parts 4 · the parts of this
--          answer · the principal
-- Replies  beside those of batch.lua:
--   A given back now: the answer
--   P given back before with this request: the answer
--   N the order has no such redemption
--   D the discount was another one: that discount 8
--   W the time for returns is over
--   X nothing is left: given back in all 8 (minor units; 0 when the ledger does not know it any more)
--   O something was given back since: the record, see records.lua
--   M the request id stands for other content
--   The answer: 1 if the coupon can be used again, else 0 (1 byte) · given back now 8 · in all 8 (minor units) · the parts
-- Events   reversed: principal · campaign · serial · generation · given back now (minor units) · merchants' share of it ·
--          1 if the coupon can be used again, else 0
-- Invariant: what is given back is never more than the discount; a coupon can be used again only under a new generation,
--            so that the receipt of its last use gives back nothing of the next one.

local reverse = {}

local ITEM, CHECKS_AT = '>c10c8c6I4I4I8I2I4I8I8BI2I8I8I8I4', 2
local ANY = 65535
local RESTORES, CLOSED = 1, 2
local GENERATION_MAX = 65535
local ANSWER = '>BI8I8'

-- What `apply` writes of the use that was decided last.
local plan = {
  campaign = false, coupon = false, discount = 0, merchant = 0, is_first = false, is_whole = false, restores = false,
  key = '', field = '', record = '', returned_key = '', returned_record = '', customer = '', customer_key = false,
  customer_record = '', request_key = '', request_field = '', request_record = '', event = '',
}

-- Where the checks of an item begin.
function reverse.checks_at() return CHECKS_AT end

-- Returns the record of a coupon, as it is stored and unpacked; false when it has none.
local function read_coupon(campaign, serial)
  if not campaign then return false end
  plan.key, plan.field = keys.used(campaign.used_prefix, campaign.width, serial)
  local stored = command('HGET', plan.key, plan.field)
  return stored and records.unpack_coupon(stored), stored
end

-- Returns how a coupon stands to the use that is given back: it is `used` so, it was `returned` whole, or neither (nil).
local function standing(coupon, order, generation, redeemed_at)
  if not coupon then return nil end
  if coupon.generation > generation then
    local is_last_use = coupon.state == records.FREE and coupon.generation == generation + 1 and coupon.redeemed_at > 0
    return (not is_last_use or coupon.order == order) and 'returned' or nil
  end
  local is_used = coupon.state == records.REDEEMED and coupon.generation == generation
  return is_used and coupon.order == order and coupon.redeemed_at == redeemed_at and 'used' or nil
end

-- Decides what is written when the coupon can be used again.
local function decide_restored(call, coupon, stored)
  plan.record = records.pack_given_back(coupon, stored)
  plan.customer, plan.customer_key = coupon.customer, false
  if coupon.customer ~= ('\0'):rep(8) then
    plan.customer_record, plan.customer_key =
      limits.customer_after_return(call, plan.campaign, coupon.customer, coupon.day)
  end
end

-- Plans what is written of a use. before: what was given back of it so far · in_all, merchant_in_all, lines: what is then ·
-- may_restore: the coupon can be used again if all of it is given back
local function decide_use(call, campaign, coupon, stored, before, in_all, merchant_in_all, lines, may_restore)
  if in_all < before.discount or in_all > coupon.discount then error('a return that is no part of what is left') end
  plan.campaign, plan.coupon = campaign, coupon
  plan.discount, plan.merchant = in_all - before.discount, merchant_in_all - before.merchant
  plan.is_first, plan.is_whole = before.count == 0, in_all == coupon.discount
  plan.restores = plan.is_whole and may_restore and coupon.generation < GENERATION_MAX
  plan.returned_record = records.pack_returned({
    count = math.min(before.count + 1, ANY - 1), discount = in_all, merchant = merchant_in_all, lines = lines,
  })
  if plan.restores then decide_restored(call, coupon, stored) end
  if coupon.offer > 0 then campaigns.offer(campaign, coupon.offer) end
  campaigns.returned(campaign)
end

-- Returns the reply; and true when `apply` is to be called.
function reverse.decide(call, packed, stale)
  local request, content, order, number, version, serial, generation, redeemed_at, since, until_, judgement, count,
    discount, in_all, merchant_in_all, lines_bytes, at = struct.unpack(ITEM, packed, CHECKS_AT + 1)
  local remembered, request_key = idempotency.find_digest(call, request)
  if remembered then
    if records.request_content(remembered) ~= content or records.is_approval(remembered) then return 'M' end
    return 'P' .. records.request_text(remembered)
  end
  local campaign = campaigns.of(call, number)
  if campaigns.is_stale(campaign, number, version, stale) then return 'S' end
  if call.now < since or call.now >= until_ then return 'C' end
  local coupon, stored = read_coupon(campaign, serial)
  local is = standing(coupon, order, generation, redeemed_at)
  if not is then return 'N' end
  if judgement >= CLOSED then return 'W' end
  if is == 'returned' then
    local is_last_use = coupon.state == records.FREE and coupon.generation == generation + 1
    return 'X' .. struct.pack('>I8', is_last_use and coupon.discount or 0)
  end
  plan.returned_key = keys.returned(call.tag, number, campaign.width, serial)
  local record = command('HGET', plan.returned_key, plan.field)
  local before = record and records.unpack_returned(record) or { count = 0, discount = 0, merchant = 0, lines = '' }
  if before.discount >= coupon.discount then return 'X' .. struct.pack('>I8', before.discount) end
  local lines = packed:sub(at, at + lines_bytes - 1)
  if count == ANY then
    in_all, merchant_in_all, lines = coupon.discount, math.max(coupon.merchant, before.merchant), before.lines
  elseif discount ~= coupon.discount then
    return 'D' .. struct.pack('>I8', coupon.discount)
  elseif count ~= before.count or count == ANY - 1 then
    return 'O' .. (record or '')
  end
  decide_use(call, campaign, coupon, stored, before, in_all, merchant_in_all, lines, judgement == RESTORES)
  local parts_bytes, parts_at = struct.unpack('>I4', packed, at + lines_bytes)
  local answer = struct.pack(ANSWER, plan.restores and 1 or 0, plan.discount, in_all)
    .. packed:sub(parts_at, parts_at + parts_bytes - 1)
  plan.request_key, plan.request_field = idempotency.place_digest(call, request, request_key)
  plan.request_record = records.pack_request_text(content, answer)
  plan.event = cmsgpack.pack({
    'reversed', packed:sub(parts_at + parts_bytes), number, serial, generation, plan.discount, plan.merchant,
    plan.restores and 1 or 0,
  })
  return 'A' .. answer, true
end

function reverse.apply(call)
  if plan.restores then
    command('HSET', plan.key, plan.field, plan.record)
    command('HDEL', plan.returned_key, plan.field)
    if plan.customer_key and plan.customer_record then
      command('HSET', plan.customer_key, plan.customer, plan.customer_record)
    elseif plan.customer_key then
      command('HDEL', plan.customer_key, plan.customer)
    end
  else
    command('HSET', plan.returned_key, plan.field, plan.returned_record)
  end
  limits.apply_return(plan.campaign, plan.coupon, plan.discount, plan.merchant, plan.is_first, plan.is_whole,
    plan.restores)
  frame.close_redeemed(call)
  call.events[#call.events + 1] = plan.event
  command('HSET', plan.request_key, plan.request_field, plan.request_record)
  call.changed, call.remembered = true, call.remembered + 1
end

return reverse
