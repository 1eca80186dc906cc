-- redeem (R): decides one order, with all its coupons or none.
--
-- Item     big-endian: request digest 10 · content digest 8 · order digest 6 · has customer 1 · customer digest 8 ·
--          since 8 · until 8 (Unix ms, half-open: when the judgement holds) · tokens 1 · for each token: campaign 4 ·
--          version 4 (0: the server knows of no such campaign) · serial 8 · outcome 2 (as the server judged it) ·
--          discount 8 and the merchants' share of it 8 (minor units) · day 2 (days since 1970, campaign's zone) ·
--          slot 4 (names a slot of a day; 0 none) · the slot's limit 8 · flags 1 (1: bound to the customer; 2: the
--          slot's limit is for all of the day so far) · then the answer to remember, opaque
-- Replies  beside those of batch.lua:
--   A approved: decided at 4 · generation 2 a token
--   P remembered: the request record from `decided at` on, behind its format byte
--   U remembered by the coupons alone: a token: redeemed at 4 · generation 2 · discount 8
--   N refused: a token: rank 2 · redeemed at 4 · generation 2 · discount 8 (of the earlier use, else 0)
--   M the request id stands for other content
-- Invariant: an order either changes all it plans or nothing; counters equal the records; no limit is passed.
--
-- What was redeemed in a slot and what was discounted on a day is the campaign's total less what it was at their start
-- (`slot_start`, `budget_start`), so that it costs no write a redemption, and a limit that is set in the middle of a
-- day knows all of that day. Whatever lowers a total for a redemption of an earlier slot or day lowers the start with it.

local MINOR_MAX = 2 ^ 53 - 1 -- no counter of money may leave what a double counts exactly
local ORDER = '>c10c8c6Bc8I8I8B'
local TOKEN = '>I4I4I8I2I8I8I2I4I8B'
local APPROVED, TOKEN_INVALID, SAME_ORDER, REVOKED, ALREADY_REDEEMED = 400, 10, 15, 100, 150
local CUSTOMER_LIMIT, CUSTOMER_DAY_LIMIT, DAY_LIMIT, SLOT_LIMIT = 310, 320, 330, 340
local CAMPAIGN_LIMIT, BUDGET_EXHAUSTED, BUDGET_DAY = 350, 360, 361 -- BUDGET_DAY: exhausted for today only

local function unpack_item(packed)
  local request, content, order, has_customer, customer, since, until_, count, position = struct.unpack(ORDER, packed, 2)
  local item = {
    request = request, content = content, order = order, customer = customer, has_customer = has_customer == 1,
    since = since, until_ = until_, tokens = {}, answer = false,
  }
  for index = 1, count do
    -- Each table is made in one go: one that grows field by field costs more than reading the order does.
    local campaign, version, serial, outcome, discount, merchant, day, slot, slot_limit, flags
    campaign, version, serial, outcome, discount, merchant, day, slot, slot_limit, flags, position =
      struct.unpack(TOKEN, packed, position)
    item.tokens[index] = {
      campaign = campaign, version = version, serial = serial, outcome = outcome, discount = discount,
      merchant = merchant, day = day, slot = slot, slot_limit = slot_limit,
      bound = flags % 2 == 1, carries = flags >= 2,
    }
  end
  item.answer = packed:sub(position)
  return item
end

-- A copy of the counters that the tokens of one item change, so that an item that fails leaves no trace.
local function counters_of(plan, number, campaign)
  local counters = plan.counters[number]
  if not counters then
    counters = {
      redeemed = campaign.redeemed, discount = campaign.discount, merchant = campaign.merchant or 0,
      day = campaign.day, redeemed_day = campaign.redeemed_day,
      budget_day = campaign.budget_day or 0, budget_start = campaign.budget_start or 0,
      slot = campaign.slot or 0, slot_start = campaign.slot_start or 0,
    }
    plan.counters[number] = counters
  end
  return counters
end

local function customer_of(call, plan, item, number, campaign)
  local customer = plan.customers[number]
  if not customer then
    local key, field = keys.customer(call.tag, number, campaign.customer_buckets, item.customer)
    customer = unpack_customer(read(call, key, field))
    customer.key, customer.field = key, field
    plan.customers[number] = customer
  end
  return customer
end

-- Begins a day or a slot, unless it is the one that `period` says: `field` then has the value of its start.
local function begin_period(counters, period, current, field, start)
  if counters[period] ~= current then
    counters[period] = current
    counters[field] = start
  end
end

-- The first limit of a customer that has no room for one more redemption, or nil.
local function customer_limit(campaign, customer)
  if campaign.limit_customer and customer.redeemed >= campaign.limit_customer then return CUSTOMER_LIMIT end
  if campaign.limit_customer_day and customer.today >= campaign.limit_customer_day then return CUSTOMER_DAY_LIMIT end
  return nil
end

-- Whether a slot's share is used up. With carry-over the day is looked at, so that what earlier slots left over is
-- there, and what was redeemed before carry-over was switched on is not forgotten.
local function slot_is_full(counters, token)
  if token.slot == 0 then return false end
  local redeemed = token.carries and counters.redeemed_day or counters.redeemed - counters.slot_start
  return redeemed >= token.slot_limit
end

-- The first limit of a campaign that has no room for a token, or nil.
local function campaign_limit(campaign, counters, token)
  if campaign.limit_day and counters.redeemed_day >= campaign.limit_day then return DAY_LIMIT end
  if slot_is_full(counters, token) then return SLOT_LIMIT end
  if campaign.limit_redemptions and counters.redeemed >= campaign.limit_redemptions then return CAMPAIGN_LIMIT end
  local spent = counters.discount + token.discount
  if spent > (campaign.limit_budget or MINOR_MAX) then return BUDGET_EXHAUSTED end
  if campaign.limit_budget_day and spent - counters.budget_start > campaign.limit_budget_day then return BUDGET_DAY end
  return nil
end

-- Counts one redemption against the limits, or returns the first limit that has no room.
local function count(call, plan, item, token, campaign)
  local counters = counters_of(plan, token.campaign, campaign)
  begin_period(counters, 'day', token.day, 'redeemed_day', 0)
  begin_period(counters, 'budget_day', token.day, 'budget_start', counters.discount)
  if token.slot > 0 then begin_period(counters, 'slot', token.slot, 'slot_start', counters.redeemed) end
  local customer, limit = nil, nil
  if item.has_customer then
    customer = customer_of(call, plan, item, token.campaign, campaign)
    begin_period(customer, 'day', token.day, 'today', 0)
    limit = customer_limit(campaign, customer)
  end
  limit = limit or campaign_limit(campaign, counters, token)
  if limit then return limit end
  counters.redeemed = counters.redeemed + 1
  counters.redeemed_day = counters.redeemed_day + 1
  counters.discount = counters.discount + token.discount
  counters.merchant = counters.merchant + token.merchant
  if customer then
    customer.redeemed = customer.redeemed + 1
    customer.today = customer.today + 1
  end
  return APPROVED
end

-- The verdict on one token: the server's judgement, unless the ledger knows a reason of higher precedence.
local function rank_of(call, plan, item, token, campaign, coupon)
  if not campaign or token.serial >= campaign.issued then return TOKEN_INVALID end
  local rank = token.outcome
  if coupon and coupon.state == REDEEMED then
    rank = math.min(rank, coupon.order == item.order and SAME_ORDER or ALREADY_REDEEMED)
  end
  local holder = token.bound and item.has_customer and item.customer
  if rank > REVOKED and is_revoked(call, token.campaign, campaign, token.serial, holder) then return REVOKED end
  if rank ~= APPROVED then return rank end
  return count(call, plan, item, token, campaign)
end

-- What the outbox says of a redemption; the merchants' share stands there when there is one.
local function redeemed_event(item, token, generation)
  return { 'redeemed', token.campaign, token.serial, generation, token.discount, item.request, item.order,
    item.customer, token.merchant > 0 and token.merchant or nil }
end

-- Stages all of an approved item. Nothing here can fail.
local function stage_item(call, item, plan, generations)
  for index, token in ipairs(item.tokens) do
    stage(call, plan.coupon_keys[index], plan.coupon_fields[index], pack_coupon({
      state = REDEEMED, redeemed_at = call.seconds, request = item.request, order = item.order,
      customer = item.customer, generation = generations[index], discount = token.discount,
    }))
    call.events[#call.events + 1] = redeemed_event(item, token, generations[index])
  end
  for _, customer in pairs(plan.customers) do stage(call, customer.key, customer.field, pack_customer(customer)) end
  for number, counters in pairs(plan.counters) do stage_campaign(call, number, counters) end
  local key, field = keys.request(call.tag, call.generation, item.request)
  stage(call, key, field, pack_request(item.content, call.seconds, generations, item.answer))
end

-- Reads the coupons of an item. Returns whether every one was used by this very request.
local function read_coupons(call, item, plan)
  local mine = true
  for index, token in ipairs(item.tokens) do
    local campaign = campaign_of(call, token.campaign)
    if campaign then
      local key, field = keys.used(call.tag, token.campaign, campaign.width, token.serial)
      local stored = read(call, key, field)
      plan.coupon_keys[index], plan.coupon_fields[index] = key, field
      plan.coupons[index] = stored and unpack_coupon(stored) or false
    end
    local coupon = plan.coupons[index]
    mine = mine and coupon and coupon.state == REDEEMED and coupon.request == item.request
      and coupon.order == item.order
  end
  return mine
end

local function redeem(call, packed, stale)
  local item = unpack_item(packed)
  local remembered = read_request(call, item.request)
  if remembered then
    if request_content(remembered) ~= item.content then return 'M' end
    return 'P' .. remembered:sub(1, 1) .. remembered:sub(10)
  end
  local plan = { coupons = {}, coupon_keys = {}, coupon_fields = {}, customers = {}, counters = {} }
  local reply = {}
  if read_coupons(call, item, plan) then
    for index, coupon in ipairs(plan.coupons) do
      reply[index] = struct.pack('>I4I2I8', coupon.redeemed_at, coupon.generation, coupon.discount)
    end
    return 'U' .. table.concat(reply)
  end
  local unfit = misfit(call, item.tokens, item.since, item.until_, stale)
  if unfit then return unfit end
  local approved, generations = true, {}
  for index, token in ipairs(item.tokens) do
    local coupon = plan.coupons[index]
    local rank = rank_of(call, plan, item, token, campaign_of(call, token.campaign), coupon)
    approved = approved and rank == APPROVED
    generations[index] = coupon and coupon.generation or 0
    reply[index] = struct.pack('>I2I4I2I8', rank, coupon and coupon.redeemed_at or 0, generations[index],
      coupon and coupon.discount or 0)
  end
  if not approved then return 'N' .. table.concat(reply) end
  stage_item(call, item, plan, generations)
  for index, generation in ipairs(generations) do reply[index] = struct.pack('>I2', generation) end
  return struct.pack('>c1I4', 'A', call.seconds) .. table.concat(reply)
end
