-- redeem (R), reserve (H) and confirm (K): decide one order, with all its coupons or none. redeem uses them, reserve holds
-- them for a while (holds.lua), confirm uses those that the order holds, on the terms on which it holds them.
--
-- Item     big-endian: R, H or K · tokens 1 · has customer 1 · bytes of the principal 1 ·
--          since 8 · until 8 (Unix ms; the judgement holds from since on and before until) · version of the rules 4 ·
--          for each token, as its record will have them: request digest 10 · order digest 6 · customer digest 8 (zeros:
--          none) · discount 3 (minor units; 0 if it does not fit) · day 2 (days since 1970, campaign's zone) ·
--          and then: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · outcome 2 (the
--          server's judgement) · discount 8 · merchants' share of the discount 8 · value of the order 8 (all three in
--          minor units; the value is 0 when another token of the same campaign has it) · offer 2 · slot 4 (names a slot of a
--          day; 0: none) · the slot's limit 8 · flags 1 (1: bound to the customer; 2: the slot's limit is for all of the
--          day so far) ·
--          after all tokens: the principal · checks (velocity.lua) · content digest 8 ·
--          H: terms 6 · how long to hold 4 (seconds) ·
--          K: terms 6 · until when the reservation holds 4 (Unix seconds) · 1 to take the coupons again if it is over, else
--          0 (1 byte) · of each token: generation 2 ·
--          the answer to remember, opaque
--          A K that does not take coupons again is not judged: its versions are 0, and nobody reads its judgements.
-- Replies  beside those of batch.lua:
--   A approved: decided at 4 · H: held until 4 (Unix seconds) · of each token: generation 2 (missing when all are 0)
--   P approved before, as the request says: its record, see records.lua
--   U approved before, as the coupons say: of each token: redeemed at 4 · generation 2 · discount 8
--   N refused: of each token: rank 2 · of its present use (0: none): redeemed at 4 · generation 2 · discount 8. If a
--     hold is in the way, its end (Unix seconds) takes the place of redeemed at; with a limit, that of the first hold
--     that may free some of it. With RESERVATION_EXPIRED it is the end of the reservation. With several tokens, then the snapshots of their campaigns (limits.lua), each once; none if one cannot be read. A
--     coupon that is refused takes nothing from the others, so the server judges them once more, on these counters
--   M the request id stands for other content
-- Events   merchant_share: principal · campaign · serial · generation · share (minor units)
--          redeemed: frame.lua adds it, one for all orders of a principal in a call
--          reserved, released, expired: see holds.lua
-- Invariant: an order either makes all its writes or none; counters equal the records; no limit is passed. A hold that is
--            not over becomes redemptions, unless one of its coupons was revoked.

local orders = {}

local sub, byte = (('').sub), (('').byte) -- faster than calling them as methods
-- Positions in an item, whose first byte is 1. TOKEN_NUMBERS: how many bytes of a token are before what TOKEN unpacks.
local HEAD, TOKENS = 2, 25
local REQUEST, ORDER, CUSTOMER, CUSTOMER_LAST = 25, 35, 41, 48
local TOKEN, TOKEN_BYTES, TOKEN_NUMBERS, TOKEN_VERSION = '>I2I4I4I8I2I8I8I8I2I4I8B', 86, 27, 33
local DIGESTS_LAST, PLAIN_LAST = 23, 28 -- of a token, from its first byte on: what its record has
local NARROW_MAX = 2 ^ 24 - 1
local CONTENT_LAST = 7 -- from the first byte of the content digest to its last one
local HOLD, HOLD_BYTES, CONFIRM, CONFIRM_BYTES = '>c6I4', 10, '>c6I4B', 11 -- behind the content digest
local REDEEM_NAME, RESERVE_NAME, CONFIRM_NAME = 82, 72, 75 -- R, H and K
local APPROVED, REVOKED = OUTCOME.APPROVED, OUTCOME.REVOKED
local TOKEN_INVALID, NEVER_ISSUED_RANK = OUTCOME.TOKEN_INVALID, OUTCOME.NEVER_ISSUED_RANK
local ALREADY_REDEEMED, SAME_ORDER_RANK = OUTCOME.ALREADY_REDEEMED, OUTCOME.SAME_ORDER_RANK
local VELOCITY_EXCEEDED, RESERVED = OUTCOME.VELOCITY_EXCEEDED, OUTCOME.RESERVED
local RESERVATION_NOT_FOUND, RESERVATION_EXPIRED = OUTCOME.RESERVATION_NOT_FOUND, OUTCOME.RESERVATION_EXPIRED
local REDEEMED, HELD, FREE = records.REDEEMED, records.HELD, records.FREE
local CHECK_BYTES = 9
local UNUSED = { redeemed_at = 0, generation = 0, discount = 0 }

-- The order that was decided last: its tokens, each with its campaign and with what is to be written, and the rest. The
-- tables are kept from one order to the next, because making a table takes longer than filling it.
local tokens, count, principal = {}, 0, ''
local customer, is_approved, has_checks = false, false, false
-- own: the order's own hold, or false · expires: when the hold that is made is over, or false · confirms: the own hold
-- becomes redemptions
local own, expires, confirms = false, false, false
local request_key, request_field, request_record = '', '', ''

-- Reads the tokens of an order and their coupons. Returns whether this very request used all of them, whether the
-- judgement is outdated, because a campaign has another version than the server knows, and whether the order holds one.
local function read_tokens(call, packed, stale)
  local mine, is_stale, has_own = true, false, false
  for index = 1, count do
    local token = tokens[index]
    if not token then
      token = {}
      tokens[index] = token
    end
    local number, version, serial, flags
    token.day, number, version, serial, token.rank, token.discount, token.merchant, token.order_value, token.offer,
      token.slot, token.slot_limit, flags =
      struct.unpack(TOKEN, packed, TOKENS + TOKEN_NUMBERS + (index - 1) * TOKEN_BYTES)
    local campaign, coupon = call.campaigns[number], false
    if campaign == nil then campaign = campaigns.of(call, number) end
    token.number, token.serial, token.flags, token.campaign = number, serial, flags, campaign
    if campaign then
      local key, field = keys.used(campaign.used_prefix, campaign.width, serial)
      token.key, token.field = key, field
      coupon = command('HGET', key, field)
      if coupon then
        coupon = records.unpack_coupon(coupon)
        if coupon.state == HELD then
          if coupon.expires <= call.seconds then
            coupon.state = FREE
          elseif coupon.order == sub(packed, ORDER, CUSTOMER - 1) then
            has_own = true
          end
        end
      end
    end
    token.coupon, token.until_ = coupon, 0
    -- Also of a use that was given back: the same request must not use the coupon a second time.
    mine = mine and coupon and coupon.request == sub(packed, REQUEST, ORDER - 1)
      and coupon.order == sub(packed, ORDER, CUSTOMER - 1)
    if stale and (campaign and campaign.version or 0) ~= version then
      stale[number] = true
      is_stale = true
    end
  end
  return mine, is_stale, has_own
end

-- Returns the rank of one token: the server's judgement, or a smaller one for which the ledger knows the reason.
local function decide_token(call, packed, token, index)
  local campaign, rank, coupon = token.campaign, token.rank, token.coupon
  if not campaign then return TOKEN_INVALID end
  if token.serial >= campaign.issued then return NEVER_ISSUED_RANK end
  if coupon and coupon.state ~= FREE then
    local is_same_order = coupon.order == sub(packed, ORDER, CUSTOMER - 1)
    if coupon.state == REDEEMED then
      rank = math.min(rank, is_same_order and SAME_ORDER_RANK or ALREADY_REDEEMED)
    elseif not is_same_order and rank > RESERVED then
      rank, token.until_ = RESERVED, coupon.expires
    end
  end
  if campaign.has_revoked and rank > REVOKED then
    local holder = token.flags % 2 == 1 and customer
    if revoke.is_revoked(call, campaign, token.serial, holder) then return REVOKED end
  end
  if rank ~= APPROVED then return rank end
  return limits.decide_redemption(call, campaign, token, customer, tokens, index, own and own.is_open and own, expires)
end

local function used_already()
  local reply = 'U'
  for index = 1, count do
    local coupon = tokens[index].coupon
    local generation = coupon.state == FREE and coupon.generation - 1 or coupon.generation
    reply = reply .. struct.pack('>I4I2I8', coupon.redeemed_at, generation, coupon.discount)
  end
  return reply
end

-- Returns the snapshots of the campaigns of an order, each once.
local function snapshots(call)
  local packed, done = '', {}
  for index = 1, count do
    local campaign = tokens[index].campaign
    if campaign and not done[campaign.number] then
      done[campaign.number] = true
      packed = packed .. limits.snapshot(call, campaign, customer, own and own.is_open and own)
    end
  end
  return packed
end

local function refusal(call)
  local reply = 'N'
  for index = 1, count do
    local token = tokens[index]
    local coupon = token.coupon
    if not coupon or coupon.state ~= REDEEMED then coupon = UNUSED end
    local moment = coupon == UNUSED and token.until_ or coupon.redeemed_at
    reply = reply .. struct.pack('>I2I4I2I8', token.rank, moment or 0, coupon.generation, coupon.discount)
  end
  if count == 1 then return reply end
  local ok, of_campaigns = pcall(snapshots, call)
  return ok and reply .. of_campaigns or reply -- a record that cannot be read is no reason to tell nothing
end

-- Returns the record of a coupon that is used. day and slot: in which it is counted
local function used_record(call, packed, index, token, day, slot)
  local at = TOKENS + (index - 1) * TOKEN_BYTES
  local is_plain = slot == 0 and token.discount <= NARROW_MAX and token.generation == 0 and token.offer == 0
  if is_plain and token.merchant == 0 and not confirms then
    return records.pack_plain_coupon(call.seconds, sub(packed, at, at + PLAIN_LAST))
  end
  return records.pack_coupon(REDEEMED, call.seconds, sub(packed, at, at + DIGESTS_LAST), token.discount, token.generation,
    token.offer, day, slot, token.merchant)
end

-- Packs the records of an approved order's coupons. Returns the packed generations, or nil when all are 0.
local function decide_records(call, packed)
  local given_back = false
  for index = 1, count do
    local token, generation = tokens[index], 0
    if token.coupon then generation = token.coupon.generation end
    if generation > 0 then given_back = true end
    token.generation = generation
    token.merchant_event = false
    -- While a campaign has no slots, what is taken counts in its last one: it may have slots again before that is over.
    if token.slot == 0 then token.slot = token.campaign.slot end
    if expires then
      token.record = records.pack_held_coupon(expires, sub(packed, ORDER, CUSTOMER - 1), generation)
    else
      local counted = confirms and own.tokens[index] or token
      token.record = used_record(call, packed, index, token, counted.day, counted.slot)
      if token.offer > 0 then campaigns.offer(token.campaign, token.offer) end
      token.merchant_event = token.merchant > 0
        and cmsgpack.pack({ 'merchant_share', principal, token.number, token.serial, generation, token.merchant })
    end
  end
  if not given_back then return nil end
  local generations = ''
  for index = 1, count do generations = generations .. struct.pack('>I2', tokens[index].generation) end
  return generations
end

-- Decides the ranks of all tokens. Returns whether all are approved, and whether any was not used by this very order.
local function decide_tokens(call, packed)
  local approved, is_new = true, false
  for index = 1, count do
    local token = tokens[index]
    token.rank = decide_token(call, packed, token, index)
    if token.rank ~= APPROVED then approved = false end
    if token.rank ~= SAME_ORDER_RANK then is_new = true end
  end
  return approved, is_new
end

-- Decides the velocity rules, and refuses the tokens of what exceeds them. Returns whether any is refused.
local function decide_velocity(call, checks)
  velocity.decide(call, checks, customer)
  if not velocity.is_exceeded() then return false end
  local refused = false
  for index = 1, count do
    local token = tokens[index]
    if token.rank > VELOCITY_EXCEEDED and velocity.refuses(token.number) then
      token.rank, refused = VELOCITY_EXCEEDED, true
    end
  end
  return refused
end

-- Where the checks of an item begin.
function orders.checks_at(packed) return TOKENS + packed:byte(2) * TOKEN_BYTES + packed:byte(4) end

-- Whether the open hold of an order is the one that a reservation stands for.
local function is_reserved(packed, at, terms)
  if not own or not own.is_open or own.terms ~= terms then return false end
  for index = 1, count do
    local token, held = tokens[index], own.tokens[index]
    local generation = struct.unpack('>I2', packed, at + 2 * (index - 1))
    if not held or held.number ~= token.number or held.serial ~= token.serial then error('a hold with other coupons') end
    if held.generation ~= generation then return false end
  end
  return #own.tokens == count
end

-- Whether no coupon of a reservation was used and given back since.
local function is_untouched(packed, at)
  for index = 1, count do
    local coupon = tokens[index].coupon
    local generation = struct.unpack('>I2', packed, at + 2 * (index - 1))
    if (coupon and coupon.generation or 0) ~= generation then return false end
  end
  return true
end

-- Decides the ranks of the tokens of a reservation that cannot be confirmed.
local function decide_lost(packed, rank, reserved_until)
  for index = 1, count do
    local token = tokens[index]
    local coupon = token.coupon
    local is_used = coupon and coupon.state == REDEEMED and coupon.order == sub(packed, ORDER, CUSTOMER - 1)
    token.rank, token.until_ = is_used and SAME_ORDER_RANK or rank, reserved_until
  end
end

-- Decides the ranks of the tokens of a reservation whose hold is open. Returns whether all are approved.
local function decide_reserved(call)
  local approved = true
  for index = 1, count do
    local token = tokens[index]
    local campaign, holder = token.campaign, token.flags % 2 == 1 and customer
    local is_revoked = campaign.has_revoked and revoke.is_revoked(call, campaign, token.serial, holder)
    token.rank, token.customer_key = is_revoked and REVOKED or APPROVED, false
    if is_revoked then approved = false end
  end
  if approved then holds.plan_people(call, own, limits.customer_with_confirmed) end
  return approved
end

-- Decides a confirmation up to the point where it is either refused, or the coupons are taken again like those of an
-- order. Returns whether all tokens are approved; or nil to take them again. at: behind the content digest
local function decide_confirmation(call, packed, at)
  local terms, reserved_until, reacquires = struct.unpack(CONFIRM, packed, at)
  own = holds.find(call, sub(packed, ORDER, CUSTOMER - 1))
  confirms = is_reserved(packed, at + CONFIRM_BYTES, terms)
  if confirms then return decide_reserved(call) end
  local is_replaced = own and own.is_open or not is_untouched(packed, at + CONFIRM_BYTES)
  if not is_replaced and call.seconds >= reserved_until and reacquires == 1 then return nil end
  local is_over = not is_replaced and call.seconds >= reserved_until
  decide_lost(packed, is_over and RESERVATION_EXPIRED or RESERVATION_NOT_FOUND, is_over and reserved_until or 0)
  return false
end

-- Whether a campaign of the tokens has another version than the server knows.
local function find_stale(packed, stale)
  local is_stale = false
  for index = 1, count do
    local token = tokens[index]
    local version = struct.unpack('>I4', packed, TOKENS + TOKEN_VERSION + (index - 1) * TOKEN_BYTES)
    is_stale = campaigns.is_stale(token.campaign, token.number, version, stale) or is_stale
  end
  return is_stale
end

-- When a hold is over that an order makes now, Unix seconds. If the order holds the same coupons on the same terms, it is
-- no earlier than before: an earlier reservation is as good as promised.
local function expiry_of(call, terms, seconds)
  local over = math.ceil(call.now / 1000) + seconds
  if own and own.is_open and own.terms == terms and own.expires > over then return own.expires end
  return over
end

-- Decides how an approved order ends the hold that it has, and how it makes one. hold_key, terms: of the one it makes
local function decide_holds(call, hold_key, order, terms)
  if own and not confirms then holds.decide_end(call, own, principal) end
  if expires then
    holds.decide_hold(call, hold_key, order, expires, terms, customer, principal, tokens, count)
  end
end

-- Returns the reply; and true when `apply` is to be called.
function orders.decide(call, packed, stale)
  local has_customer, principal_bytes, since, until_, rules_version, first, second, third
  count, has_customer, principal_bytes, since, until_, rules_version, first, second, third =
    struct.unpack('>BBBI8I8I4BBB', packed, HEAD)
  local principal_at = TOKENS + count * TOKEN_BYTES
  local checks_at = principal_at + principal_bytes
  local checks = packed:byte(checks_at)
  local content_at = checks_at + 1 + checks * CHECK_BYTES
  local field = sub(packed, REQUEST + 1, ORDER - 1)
  local remembered, key = idempotency.find(call, first, second, third, field)
  if remembered then
    local is_same = records.request_content(remembered) == sub(packed, content_at, content_at + CONTENT_LAST)
    return is_same and 'P' .. remembered or 'M'
  end
  local name = byte(packed, 1)
  local confirming, rest_at = name == CONFIRM_NAME, content_at + CONTENT_LAST + 1
  local mine, is_stale, has_own = read_tokens(call, packed, not confirming and stale)
  if mine then return used_already() end
  customer = has_customer == 1 and sub(packed, CUSTOMER, CUSTOMER_LAST)
  own, expires, confirms, has_checks, is_approved = false, false, false, false, false
  local approved, hold_key, terms = nil, nil, nil
  if confirming then
    approved = decide_confirmation(call, packed, rest_at)
    if approved == nil then is_stale = find_stale(packed, stale) end
    rest_at = rest_at + CONFIRM_BYTES + 2 * count
  end
  if approved == nil then
    if rules_version ~= call.rules and not confirming then is_stale = rules.is_stale(call, rules_version) end
    if is_stale then return 'S' end
    if call.now < since or call.now >= until_ then return 'C' end
    if name == RESERVE_NAME then
      local hold_seconds
      own, hold_key = holds.find(call, sub(packed, ORDER, CUSTOMER - 1))
      terms, hold_seconds = struct.unpack(HOLD, packed, rest_at)
      expires, rest_at = expiry_of(call, terms, hold_seconds), rest_at + HOLD_BYTES
    elseif has_own then
      own = holds.find(call, sub(packed, ORDER, CUSTOMER - 1))
    end
    local is_new
    approved, is_new = decide_tokens(call, packed)
    has_checks = checks > 0 and is_new
    if has_checks and decide_velocity(call, checks) then approved = false end
  end
  is_approved = approved
  if not approved then
    if not has_checks then return refusal(call) end
    return velocity.reply(refusal(call)), velocity.counts_attempts()
  end
  principal = sub(packed, principal_at, checks_at - 1)
  local generations = decide_records(call, packed)
  if own or expires then decide_holds(call, hold_key, sub(packed, ORDER, CUSTOMER - 1), terms) end
  if call.rolls then key = idempotency.place(call, first, second, third, field, key) end
  request_key, request_field = key, field
  local answer = name == REDEEM_NAME and sub(packed, content_at)
    or sub(packed, content_at, content_at + CONTENT_LAST) .. sub(packed, rest_at)
  local reply = call.approved
  if expires then
    request_record = records.pack_held_request(call.seconds, expires, generations, answer)
    reply = reply .. struct.pack('>I4', expires)
  else
    request_record = records.pack_request(call.seconds, generations, answer)
  end
  if generations then reply = reply .. generations end
  return has_checks and velocity.reply(reply) or reply, true
end

-- Writes that the order's own hold became redemptions.
local function apply_confirmation(call)
  for index = 1, count do
    local token, held = tokens[index], own.tokens[index]
    limits.apply_confirmation(token.campaign, token)
    wheel.remove(token.campaign, own.expires, held.day, held.slot, held.discount)
  end
  holds.apply_people(own)
  command('HDEL', own.key, own.order)
end

-- Adds the coupons of the order to the event of all redemptions of its principal.
local function apply_redeemed(call)
  local redeemed = call.redeemed[principal]
  if not redeemed then
    redeemed = {}
    call.redeemed[principal] = redeemed
  end
  local size = #redeemed
  for index = 1, count do
    local token = tokens[index]
    redeemed[size + 1], redeemed[size + 2], redeemed[size + 3] = token.number, token.serial, token.generation
    size = size + 3
  end
end

-- Writes the order that was decided last; of a refused one, only what velocity rules count.
function orders.apply(call)
  if has_checks then velocity.apply(call, is_approved) end
  if not is_approved then return end
  if confirms then
    apply_confirmation(call)
  elseif own then
    holds.apply_end(call, own)
  end
  for index = 1, count do
    local token = tokens[index]
    command('HSET', token.key, token.field, token.record)
    if not confirms then limits.apply_redemption(token.campaign, token, customer, expires) end
    if token.merchant_event then call.events[#call.events + 1] = token.merchant_event end
  end
  if expires then holds.apply_hold(call) else apply_redeemed(call) end
  command('HSET', request_key, request_field, request_record)
  call.changed, call.remembered = true, call.remembered + 1
end

return orders
