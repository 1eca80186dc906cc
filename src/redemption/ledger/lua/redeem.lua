-- redeem (R): decides one order, with all its coupons or none.
--
-- Item     big-endian: R · tokens 1 · has customer 1 · bytes of the principal 1 ·
--          since 8 · until 8 (Unix ms; the judgement holds from since on and before until) · version of the rules 4 ·
--          for each token, as its record will have them: request digest 10 · order digest 6 · customer digest 8 (zeros:
--          none) · discount 3 (minor units; 0 if it does not fit) ·
--          and then: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · outcome 2 (the
--          server's judgement) · discount 8 · merchants' share of the discount 8 · value of the order 8 (all three in
--          minor units; the value is 0 when another token of the same campaign has it) · offer 2 · day 2 (days since
--          1970, campaign's zone) · slot 4 (names a slot of a day; 0: none) · the slot's limit 8 · flags 1 (1: bound to
--          the customer; 2: the slot's limit is for all of the day so far) ·
--          after all tokens: the principal · checks (velocity.lua) · content digest 8 · the answer to remember, opaque
-- Replies  beside those of batch.lua:
--   A approved: decided at 4 · of each token: generation 2 (missing when all are 0)
--   P approved before, as the request says: its record, see records.lua
--   U approved before, as the coupons say: of each token: redeemed at 4 · generation 2 · discount 8
--   N refused: of each token: rank 2 · of its present use (0: none): redeemed at 4 · generation 2 · discount 8. With
--     several tokens, then the snapshots of their campaigns (limits.lua), each once; none if one cannot be read. A
--     coupon that is refused takes nothing from the others, so the server judges them once more, on these counters
--   M the request id stands for other content
-- Events   merchant_share: principal · campaign · serial · generation · share (minor units)
--          redeemed: frame.lua adds it, one for all orders of a principal in a call
-- Invariant: an order either makes all its writes or none; counters equal the records; no limit is passed.

local redeem = {}

local sub = (('').sub) -- faster than calling it as a method
-- Positions in an item, whose first byte is 1. TOKEN_NUMBERS: how many bytes of a token are before what TOKEN unpacks.
local HEAD, TOKENS = 2, 25
local REQUEST, ORDER, CUSTOMER, CUSTOMER_LAST = 25, 35, 41, 48
local TOKEN, TOKEN_BYTES, TOKEN_NUMBERS = '>I4I4I8I2I8I8I8I2I2I4I8B', 86, 27
local CONTENT_LAST = 7 -- from the first byte of the content digest to its last one
local APPROVED, REVOKED = OUTCOME.APPROVED, OUTCOME.REVOKED
local TOKEN_INVALID, NEVER_ISSUED_RANK = OUTCOME.TOKEN_INVALID, OUTCOME.NEVER_ISSUED_RANK
local ALREADY_REDEEMED, SAME_ORDER_RANK = OUTCOME.ALREADY_REDEEMED, OUTCOME.SAME_ORDER_RANK
local VELOCITY_EXCEEDED = OUTCOME.VELOCITY_EXCEEDED
local CHECK_BYTES = 9
local UNUSED = { redeemed_at = 0, generation = 0, discount = 0 }

-- The order that was decided last: its tokens, each with its campaign and with what is to be written, and the rest. The
-- tables are kept from one order to the next, because making a table takes longer than filling it.
local tokens, count, principal = {}, 0, ''
local customer, is_approved, has_checks = false, false, false
local request_key, request_field, request_record = '', '', ''

-- Reads the tokens of an order and their coupons. Returns whether this very request used all of them, and whether the
-- judgement is outdated, because a campaign has another version than the server knows.
local function read_tokens(call, packed, stale)
  local mine, is_stale = true, false
  for index = 1, count do
    local token = tokens[index]
    if not token then
      token = {}
      tokens[index] = token
    end
    local number, version, serial, flags
    number, version, serial, token.rank, token.discount, token.merchant, token.order_value, token.offer, token.day,
      token.slot, token.slot_limit, flags =
      struct.unpack(TOKEN, packed, TOKENS + TOKEN_NUMBERS + (index - 1) * TOKEN_BYTES)
    local campaign, coupon = call.campaigns[number], false
    if campaign == nil then campaign = campaigns.of(call, number) end
    token.number, token.serial, token.flags, token.campaign = number, serial, flags, campaign
    if campaign then
      local key, field = keys.used(campaign.used_prefix, campaign.width, serial)
      token.key, token.field = key, field
      coupon = command('HGET', key, field)
      if coupon then coupon = records.unpack_coupon(coupon) end
    end
    token.coupon = coupon
    mine = mine and coupon and coupon.state == records.REDEEMED
      and coupon.request == sub(packed, REQUEST, ORDER - 1) and coupon.order == sub(packed, ORDER, CUSTOMER - 1)
    if (campaign and campaign.version or 0) ~= version then
      stale[number] = true
      is_stale = true
    end
  end
  return mine, is_stale
end

-- Returns the rank of one token: the server's judgement, or a smaller one for which the ledger knows the reason.
local function decide_token(call, packed, token, index)
  local campaign, rank, coupon = token.campaign, token.rank, token.coupon
  if not campaign then return TOKEN_INVALID end
  if token.serial >= campaign.issued then return NEVER_ISSUED_RANK end
  if coupon and coupon.state == records.REDEEMED then
    rank = math.min(rank, coupon.order == sub(packed, ORDER, CUSTOMER - 1) and SAME_ORDER_RANK or ALREADY_REDEEMED)
  end
  if campaign.has_revoked and rank > REVOKED then
    local holder = token.flags % 2 == 1 and customer
    if revoke.is_revoked(call, campaign, token.serial, holder) then return REVOKED end
  end
  if rank ~= APPROVED then return rank end
  return limits.decide_redemption(campaign, token, customer, tokens, index)
end

local function used_already()
  local reply = 'U'
  for index = 1, count do
    local coupon = tokens[index].coupon
    reply = reply .. struct.pack('>I4I2I8', coupon.redeemed_at, coupon.generation, coupon.discount)
  end
  return reply
end

-- Returns the snapshots of the campaigns of an order, each once.
local function snapshots()
  local packed, done = '', {}
  for index = 1, count do
    local campaign = tokens[index].campaign
    if campaign and not done[campaign.number] then
      done[campaign.number] = true
      packed = packed .. limits.snapshot(campaign, customer)
    end
  end
  return packed
end

local function refusal()
  local reply = 'N'
  for index = 1, count do
    local token = tokens[index]
    local coupon = token.coupon or UNUSED
    reply = reply .. struct.pack('>I2I4I2I8', token.rank, coupon.redeemed_at, coupon.generation, coupon.discount)
  end
  if count == 1 then return reply end
  local ok, of_campaigns = pcall(snapshots)
  return ok and reply .. of_campaigns or reply -- a record that cannot be read is no reason to tell nothing
end

-- Packs the records of an approved order's coupons. Returns the packed generations, or nil when all are 0.
local function decide_records(call, packed)
  local given_back = false
  for index = 1, count do
    local token, generation = tokens[index], 0
    if token.coupon then generation = token.coupon.generation end
    if generation > 0 then given_back = true end
    token.generation = generation
    token.record = records.pack_used_coupon(call.seconds, packed, TOKENS + (index - 1) * TOKEN_BYTES, token.discount,
      generation, token.offer)
    if token.offer > 0 then campaigns.offer(token.campaign, token.offer) end
    token.merchant_event = token.merchant > 0
      and cmsgpack.pack({ 'merchant_share', principal, token.number, token.serial, generation, token.merchant })
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
function redeem.checks_at(packed) return TOKENS + packed:byte(2) * TOKEN_BYTES + packed:byte(4) end

-- Returns the reply; and true when `apply` is to be called.
function redeem.decide(call, packed, stale)
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
  local mine, is_stale = read_tokens(call, packed, stale)
  if mine then return used_already() end
  if rules_version ~= call.rules then is_stale = rules.is_stale(call, rules_version) end
  if is_stale then return 'S' end
  if call.now < since or call.now >= until_ then return 'C' end
  customer = has_customer == 1 and sub(packed, CUSTOMER, CUSTOMER_LAST)
  local approved, is_new = decide_tokens(call, packed)
  has_checks = checks > 0 and is_new
  if has_checks and decide_velocity(call, checks) then approved = false end
  is_approved = approved
  if not approved then
    if not has_checks then return refusal() end
    return velocity.reply(refusal()), velocity.counts_attempts()
  end
  principal = sub(packed, principal_at, checks_at - 1)
  local generations = decide_records(call, packed)
  if call.rolls then key = idempotency.place(call, first, second, third, field, key) end
  request_key, request_field = key, field
  request_record = records.pack_request(call.seconds, generations, sub(packed, content_at))
  local reply = generations and call.approved .. generations or call.approved
  return has_checks and velocity.reply(reply) or reply, true
end

-- Writes the order that was decided last; of a refused one, only what velocity rules count.
function redeem.apply(call)
  if has_checks then velocity.apply(call, is_approved) end
  if not is_approved then return end
  local redeemed = call.redeemed[principal]
  if not redeemed then
    redeemed = {}
    call.redeemed[principal] = redeemed
  end
  local size = #redeemed
  for index = 1, count do
    local token = tokens[index]
    command('HSET', token.key, token.field, token.record)
    limits.apply_redemption(token.campaign, token, customer)
    redeemed[size + 1], redeemed[size + 2], redeemed[size + 3] = token.number, token.serial, token.generation
    size = size + 3
    if token.merchant_event then call.events[#call.events + 1] = token.merchant_event end
  end
  command('HSET', request_key, request_field, request_record)
  call.changed, call.remembered = true, call.remembered + 1
end

return redeem
