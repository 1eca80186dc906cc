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
    since = since, until_ = until_, tokens = {}, counters = {}, customers = {}, answer = false,
  }
  for index = 1, count do
    -- Each table is made in one go: one that grows field by field costs more than reading the order does.
    local campaign, version, serial, outcome, discount, merchant, day, slot, slot_limit, flags
    campaign, version, serial, outcome, discount, merchant, day, slot, slot_limit, flags, position =
      struct.unpack(TOKEN, packed, position)
    item.tokens[index] = {
      campaign = campaign, version = version, serial = serial, outcome = outcome, discount = discount,
      merchant = merchant, day = day, slot = slot, slot_limit = slot_limit,
      bound = flags % 2 == 1, carries = flags >= 2, key = false, field = false, coupon = false, generation = 0, rank = 0,
    }
  end
  item.answer = packed:sub(position)
  return item
end

-- A copy of the counters that the tokens of one item change, so that an item that fails leaves no trace.
local function counters_of(call, item, number, campaign)
  local counters = item.counters[number]
  if not counters then
    local latest = call.counters[number] or campaign
    counters = {
      redeemed = latest.redeemed, discount = latest.discount, merchant = latest.merchant or 0,
      day = latest.day, redeemed_day = latest.redeemed_day,
      budget_day = latest.budget_day or 0, budget_start = latest.budget_start or 0,
      slot = latest.slot or 0, slot_start = latest.slot_start or 0,
    }
    item.counters[number] = counters
  end
  return counters
end

local function customer_of(call, item, number, campaign)
  local customer = item.customers[number]
  if not customer then
    local key, field = keys.customer(call.tag, number, campaign.customer_buckets, item.customer)
    local redeemed, day, today = unpack_customer(read(call, key, field))
    customer = { redeemed = redeemed, day = day, today = today, key = key, field = field }
    item.customers[number] = customer
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
local function count(call, item, token, campaign)
  local counters = counters_of(call, item, token.campaign, campaign)
  begin_period(counters, 'day', token.day, 'redeemed_day', 0)
  begin_period(counters, 'budget_day', token.day, 'budget_start', counters.discount)
  if token.slot > 0 then begin_period(counters, 'slot', token.slot, 'slot_start', counters.redeemed) end
  local customer, limit = nil, nil
  if item.has_customer then
    customer = customer_of(call, item, token.campaign, campaign)
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
local function rank_of(call, item, token, campaign)
  if not campaign or token.serial >= campaign.issued then return TOKEN_INVALID end
  local rank, coupon = token.outcome, token.coupon
  if coupon and coupon.state == REDEEMED then
    rank = math.min(rank, coupon.order == item.order and SAME_ORDER or ALREADY_REDEEMED)
  end
  local holder = token.bound and item.has_customer and item.customer
  if rank > REVOKED and is_revoked(call, token.campaign, campaign, token.serial, holder) then return REVOKED end
  if rank ~= APPROVED then return rank end
  return count(call, item, token, campaign)
end

-- What the outbox says of a redemption; the merchants' share stands there when there is one.
local function redeemed_event(item, token)
  return { 'redeemed', token.campaign, token.serial, token.generation, token.discount, item.request, item.order,
    item.customer, token.merchant > 0 and token.merchant or nil }
end

-- Stages all of an approved item. Nothing here can fail.
local function stage_item(call, item, request_key, request_field)
  for index = 1, #item.tokens do
    local token = item.tokens[index]
    stage(call, token.key, token.field, pack_used_coupon(call.seconds, item.request, item.order, item.customer,
      token.discount, token.generation))
    call.events[#call.events + 1] = redeemed_event(item, token)
  end
  for _, customer in pairs(item.customers) do stage(call, customer.key, customer.field, pack_customer(customer)) end
  for number, counters in pairs(item.counters) do call.counters[number] = counters end
  stage(call, request_key, request_field, pack_request(item.content, call.seconds, item.tokens, item.answer))
end

-- Reads the coupons of an item. Returns whether every one was used by this very request.
local function read_coupons(call, item)
  local mine = true
  for index = 1, #item.tokens do
    local token = item.tokens[index]
    local campaign = campaign_of(call, token.campaign)
    if campaign then
      token.key, token.field = keys.used(call.tag, token.campaign, campaign.width, token.serial)
      local stored = read(call, token.key, token.field)
      if stored then
        token.coupon = unpack_coupon(stored)
        token.generation = token.coupon.generation
      end
    end
    local coupon = token.coupon
    mine = mine and coupon and coupon.state == REDEEMED and coupon.request == item.request
      and coupon.order == item.order
  end
  return mine
end

local function used_already(tokens)
  local reply = 'U'
  for index = 1, #tokens do
    local coupon = tokens[index].coupon
    reply = reply .. struct.pack('>I4I2I8', coupon.redeemed_at, coupon.generation, coupon.discount)
  end
  return reply
end

local function refusal(tokens)
  local reply = 'N'
  for index = 1, #tokens do
    local token = tokens[index]
    local coupon = token.coupon
    reply = reply .. struct.pack('>I2I4I2I8', token.rank, coupon and coupon.redeemed_at or 0, token.generation,
      coupon and coupon.discount or 0)
  end
  return reply
end

local function redeem(call, packed, stale)
  local item = unpack_item(packed)
  local remembered, request_key, request_field = read_request(call, item.request)
  if remembered then
    if request_content(remembered) ~= item.content then return 'M' end
    return 'P' .. remembered:sub(1, 1) .. remembered:sub(10)
  end
  local tokens = item.tokens
  if read_coupons(call, item) then return used_already(tokens) end
  local unfit = misfit(call, tokens, item.since, item.until_, stale)
  if unfit then return unfit end
  local approved = true
  for index = 1, #tokens do
    local token = tokens[index]
    token.rank = rank_of(call, item, token, campaign_of(call, token.campaign))
    approved = approved and token.rank == APPROVED
  end
  if not approved then return refusal(tokens) end
  stage_item(call, item, request_key, request_field)
  local reply = struct.pack('>c1I4', 'A', call.seconds)
  for index = 1, #tokens do reply = reply .. struct.pack('>I2', tokens[index].generation) end
  return reply
end
