-- redeem: decides a batch of orders, each by itself, each with all its coupons or none.
--
-- KEYS[1]  the program's tag
-- ARGV[1]  what the server knows of the ledger (see call.lua)
-- ARGV[2]  about how many entries the event stream keeps
-- ARGV[3…] one item each, big-endian: request digest 10 · content digest 8 · order digest 6 · has customer 1 ·
--          customer digest 8 · since 8 · until 8 (Unix ms, half-open: when the judgement holds) · tokens 1 ·
--          for each token: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · outcome 2 (as the server judged it) · discount 8
--          (minor units) · day 2 (days since 1970, campaign's zone) · then the answer to remember, opaque
-- Replies  head · {number, version, definition, …} of the campaigns whose version was not the server's · one string an item:
--   A approved: decided at 4 · generation 2 a token
--   P remembered: the request record from `decided at` on, behind its format byte
--   U remembered by the coupons alone: a token: redeemed at 4 · generation 2 · discount 8
--   N refused: a token: rank 2 · redeemed at 4 · generation 2 · discount 8 (of the earlier use, else 0)
--   M the request id stands for other content · S judged by an old version · C judged for another moment
--   E failed: why (for the log)
-- Invariant: an item either changes all it plans or nothing; counters equal the records; no limit is passed.

local MINOR_MAX = 2 ^ 53 - 1 -- no counter of money may leave what a double counts exactly
local ITEM = '>c10c8c6Bc8I8I8B'
local TOKEN = '>I4I4I8I2I8I2'
local APPROVED, TOKEN_INVALID, SAME_ORDER, ALREADY_REDEEMED = 400, 10, 15, 150
local CUSTOMER_LIMIT, CUSTOMER_DAY_LIMIT, DAY_LIMIT, CAMPAIGN_LIMIT, BUDGET_EXHAUSTED = 310, 320, 330, 350, 360
local CAMPAIGN_FIELDS = {
  'version', 'width', 'customer_buckets', 'issued', 'redeemed', 'discount', 'day', 'redeemed_day',
  'limit_redemptions', 'limit_customer', 'limit_customer_day', 'limit_day', 'limit_budget',
}

local function unpack_item(packed)
  local request, content, order, has_customer, customer, since, until_, count, position = struct.unpack(ITEM, packed)
  local item = {
    request = request, content = content, order = order, customer = customer, has_customer = has_customer == 1,
    since = since, until_ = until_, tokens = {},
  }
  for index = 1, count do
    local token = {}
    token.campaign, token.version, token.serial, token.outcome, token.discount, token.day, position =
      struct.unpack(TOKEN, packed, position)
    item.tokens[index] = token
  end
  item.answer = packed:sub(position)
  return item
end

-- The campaign as this call sees it, read once; false when there is none.
local function campaign_of(call, number)
  local campaign = call.campaigns[number]
  if campaign == nil then
    local values = redis.call('HMGET', keys.campaign(call.tag, number), unpack(CAMPAIGN_FIELDS))
    campaign = false
    if values[1] then
      campaign = {}
      for index, field in ipairs(CAMPAIGN_FIELDS) do campaign[field] = tonumber(values[index]) end
      if not campaign.version then error('campaign record of no version') end
    end
    call.campaigns[number] = campaign
  end
  return campaign
end

-- A copy of the counters that the tokens of one item change, so that an item that fails leaves no trace.
local function counters_of(plan, number, campaign)
  local counters = plan.counters[number]
  if not counters then
    counters = { redeemed = campaign.redeemed, discount = campaign.discount, day = campaign.day,
      redeemed_day = campaign.redeemed_day }
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

local function begin_day(counters, day, field)
  if counters.day ~= day then
    counters.day = day
    counters[field] = 0
  end
end

-- Counts one redemption against the limits, or returns the first limit that has no room.
local function count(call, plan, item, token, campaign)
  local counters = counters_of(plan, token.campaign, campaign)
  begin_day(counters, token.day, 'redeemed_day')
  local customer = nil
  if item.has_customer then
    customer = customer_of(call, plan, item, token.campaign, campaign)
    begin_day(customer, token.day, 'today')
    if campaign.limit_customer and customer.redeemed >= campaign.limit_customer then return CUSTOMER_LIMIT end
    if campaign.limit_customer_day and customer.today >= campaign.limit_customer_day then return CUSTOMER_DAY_LIMIT end
  end
  if campaign.limit_day and counters.redeemed_day >= campaign.limit_day then return DAY_LIMIT end
  if campaign.limit_redemptions and counters.redeemed >= campaign.limit_redemptions then return CAMPAIGN_LIMIT end
  if counters.discount + token.discount > (campaign.limit_budget or MINOR_MAX) then return BUDGET_EXHAUSTED end
  counters.redeemed = counters.redeemed + 1
  counters.redeemed_day = counters.redeemed_day + 1
  counters.discount = counters.discount + token.discount
  if customer then
    customer.redeemed = customer.redeemed + 1
    customer.today = customer.today + 1
  end
  return APPROVED
end

-- The verdict on one token: the server's judgement, unless the ledger knows a reason of higher precedence.
local function rank_of(call, plan, item, token, campaign, coupon)
  if not campaign or token.serial >= campaign.issued then return TOKEN_INVALID end
  if coupon and coupon.state == REDEEMED then
    return math.min(token.outcome, coupon.order == item.order and SAME_ORDER or ALREADY_REDEEMED)
  end
  if token.outcome ~= APPROVED then return token.outcome end
  return count(call, plan, item, token, campaign)
end

-- Stages all of an approved item. Nothing here can fail.
local function stage_item(call, item, plan, generations)
  for index, token in ipairs(item.tokens) do
    stage(call, plan.coupon_keys[index], plan.coupon_fields[index], pack_coupon({
      state = REDEEMED, redeemed_at = call.seconds, request = item.request, order = item.order,
      customer = item.customer, generation = generations[index], discount = token.discount,
    }))
    call.events[#call.events + 1] = { 'redeemed', token.campaign, token.serial, generations[index], token.discount,
      item.request, item.order, item.customer }
  end
  for _, customer in pairs(plan.customers) do stage(call, customer.key, customer.field, pack_customer(customer)) end
  for number, counters in pairs(plan.counters) do
    local campaign = call.campaigns[number]
    for name, value in pairs(counters) do
      campaign[name] = value
      stage(call, keys.campaign(call.tag, number), name, number_text(value))
    end
  end
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

-- Says what no longer fits: the version of a campaign (S), or the moment of the judgement (C).
local function misfit(call, item, stale)
  local found = nil
  for _, token in ipairs(item.tokens) do
    local campaign = campaign_of(call, token.campaign)
    if (campaign and campaign.version or 0) ~= token.version then
      stale[token.campaign] = true
      found = 'S'
    end
  end
  if found then return found end
  if call.now < item.since or call.now >= item.until_ then return 'C' end
  return nil
end

local function decide(call, packed, stale)
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
  local unfit = misfit(call, item, stale)
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

local function redeem(key_names, args)
  local call = begin(key_names[1], args[1])
  local stale, replies = {}, {}
  for index = 3, #args do
    local ok, reply = pcall(decide, call, args[index], stale)
    if not ok then reply = 'E' .. (type(reply) == 'table' and reply.err or tostring(reply)) end
    replies[index] = reply
  end
  replies[2] = {}
  for number in pairs(stale) do
    local values = redis.call('HMGET', keys.campaign(call.tag, number), 'version', 'definition')
    table.insert(replies[2], number)
    table.insert(replies[2], tonumber(values[1] or 0) or 0)
    table.insert(replies[2], values[2] or '')
  end
  apply(call, args[2])
  replies[1] = head(call)
  return replies
end
