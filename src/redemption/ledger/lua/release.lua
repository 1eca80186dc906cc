-- release (L): ends the hold of an order before it is over.
--
-- Item     big-endian: L · 0 (it has no checks, see velocity.lua) · request digest 10 · content digest 8 · order digest 6
--          · terms of the hold 6 · until when the reservation holds 4 (Unix seconds) · campaign 4 · serial 8 · generation 2
--          (of one of its coupons) · the principal
-- Replies  beside those of batch.lua:
--   A released now, or before with this request
--   H nothing is held by this reservation: it was released before, it is over, or a later reservation took its place: with
--     other terms, with the same terms for longer, or after the coupon had been used and given back
--   U the order has used the coupon
--   M the request id stands for other content
-- Events   released, see holds.lua
-- Invariant: only the hold that this reservation made, or made longer last, ends: the payment of an earlier one may have
--            failed while a later one is under way.

local release = {}

local ITEM, ITEM_BYTES = '>c10c8c6c6I4I4I8I2', 48
local CHECKS_AT = 2

local ended, request_key, request_field, request_record = false, '', '', ''

-- Where the checks of an item begin.
function release.checks_at() return CHECKS_AT end

-- Whether an order has used a coupon.
local function is_used_by(call, number, serial, order)
  local campaign = campaigns.of(call, number)
  if not campaign then return false end
  local key, field = keys.used(campaign.used_prefix, campaign.width, serial)
  local stored = command('HGET', key, field)
  local coupon = stored and records.unpack_coupon(stored)
  return coupon and coupon.state == records.REDEEMED and coupon.order == order
end

-- Whether a hold has a coupon in this generation.
local function has_coupon(hold, number, serial, generation)
  for _, token in ipairs(hold.tokens) do
    if token.number == number and token.serial == serial then return token.generation == generation end
  end
  return false
end

-- Returns the reply; and true when `apply` is to be called.
function release.decide(call, packed)
  local request, content, order, terms, reserved_until, number, serial, generation = struct.unpack(ITEM, packed, CHECKS_AT + 1)
  local principal = packed:sub(CHECKS_AT + 1 + ITEM_BYTES)
  local remembered, key = idempotency.find_digest(call, request)
  if remembered then return records.request_content(remembered) == content and 'A' or 'M' end
  local hold = holds.find(call, order)
  local is_its_own = hold and hold.is_open and hold.terms == terms and hold.expires == reserved_until
  if not is_its_own or not has_coupon(hold, number, serial, generation) then
    return is_used_by(call, number, serial, order) and 'U' or 'H'
  end
  ended = hold
  holds.decide_end(call, hold, principal)
  request_key, request_field = idempotency.place_digest(call, request, key)
  request_record = records.pack_request_text(content, '')
  return 'A', true
end

function release.apply(call)
  holds.apply_end(call, ended)
  command('HSET', request_key, request_field, request_record)
  call.remembered = call.remembered + 1
end

return release
