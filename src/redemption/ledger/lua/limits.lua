-- Counters, their periods and their limits: of redemptions, of issued coupons and of claims.
--
-- An operation first asks a decide function whether there is room. When the whole operation is decided, it calls the
-- apply function of the same name, which counts (of a claim, frame.apply writes the counters of customer and person).
-- Limits and counters of a campaign are in its working copy
-- (campaigns.lua). Counters of one customer, and claims of one customer or person, are records of their own
-- (records.lua).
--
-- campaign  a working copy, see campaigns.lua
-- token     of an order, see orders.lua. These functions read: number (of its campaign) · serial · rank · discount,
--           merchant and order_value (minor units) · day (days since 1970, campaign's zone) · slot (names a slot of a
--           day; 0: none) · slot_limit · flags (2 or more: the slot's limit is for all of the day so far) · offer
-- own       the open hold of the same order, or false, see holds.lua. It ends when the order is approved, so it counts
--           for nothing against that order.
-- A coupon that is held counts as a redemption against every limit, until the hold is over.
-- Invariant: no limit is exceeded; a counter is what the records say.

local limits = {}

local CUSTOMER_LIMIT, CUSTOMER_DAY_LIMIT = OUTCOME.CUSTOMER_LIMIT, OUTCOME.CUSTOMER_DAY_LIMIT
local DAY_LIMIT, SLOT_LIMIT, CAMPAIGN_LIMIT = OUTCOME.DAY_LIMIT, OUTCOME.SLOT_LIMIT, OUTCOME.CAMPAIGN_LIMIT
local BUDGET_EXHAUSTED, BUDGET_DAY_RANK = OUTCOME.BUDGET_EXHAUSTED, OUTCOME.BUDGET_DAY_RANK
local APPROVED, CLAIM_LIMIT = OUTCOME.APPROVED, OUTCOME.CLAIM_LIMIT

local customer_key = keys.customer -- every order calls these three: local names save it the table lookups
local pack_customer, unpack_customer = records.pack_customer, records.unpack_customer
local CARRIES = 2 -- a flag of a token
local COUNT_MAX = 65535 -- a customer's count that has reached it stays there, see records.lua
local HELD_BYTES = 6 -- of a held coupon in a customer's record: until when 4 · day 2
local MINOR_MAX = 2 ^ 53 - 1 -- minor units; numbers of Lua are exact up to here
local SERIALS = 2 ^ 40 -- of a campaign

-- The one rule of periods. Beside every counter of a day or a slot stands the number of that day or slot, its period.
-- When the present period is another one, the counter's period is over, and the counter begins anew.
local function is_over(period, present) return period ~= present end

-- Redemptions

-- Returns those of a customer's holds that are not over.
local function open_holds(packed, seconds)
  local open = ''
  for at = 1, #packed, HELD_BYTES do
    if struct.unpack('>I4', packed, at) > seconds then open = open .. packed:sub(at, at + HELD_BYTES - 1) end
  end
  return open
end

-- Reads the counters of a customer in a campaign: key, redemptions, day of the last one, redemptions on that day, and
-- the holds that are not over, as they are packed.
local function read_customer(campaign, customer, seconds)
  local key = customer_key(campaign.customer_prefix, campaign.customer_buckets, customer)
  local stored = command('HGET', key, customer)
  if not stored then return key, 0, 0, 0, '' end
  local redeemed, day, today, holds = unpack_customer(stored)
  if holds ~= '' then holds = open_holds(holds, seconds) end
  return key, redeemed, day, today, holds
end

-- Returns a customer's holds in a campaign without those of an order.
local function without_own(holds, campaign, own)
  for _, token in ipairs(own.tokens) do
    if token.number == campaign.number then
      local entry, at = struct.pack('>I4I2', own.expires, token.day), 1
      while at <= #holds and holds:sub(at, at + HELD_BYTES - 1) ~= entry do at = at + HELD_BYTES end
      holds = holds:sub(1, at - 1) .. holds:sub(at + HELD_BYTES)
    end
  end
  return holds
end

-- Returns how many coupons a customer holds, how many of them were counted on a day, and when the first hold is over.
local function count_holds(holds, day)
  local held, held_today, first = 0, 0, nil
  for at = 1, #holds, HELD_BYTES do
    local expires, held_day = struct.unpack('>I4I2', holds, at)
    held, first = held + 1, math.min(first or expires, expires)
    if held_day == day then held_today = held_today + 1 end
  end
  return held, held_today, first
end

-- Returns the record of a customer after an order's hold has ended, or false when nothing is left in it; and its key.
function limits.customer_without(call, campaign, customer, own)
  local key, redeemed, day, today, holds = read_customer(campaign, customer, call.seconds)
  holds = without_own(holds, campaign, own)
  if redeemed == 0 and holds == '' then return false, key end
  return pack_customer(redeemed, day, today, holds), key
end

-- Returns the record of a customer after an order's hold has become redemptions; and its key. They count on the day on
-- which they were held.
function limits.customer_with_confirmed(call, campaign, customer, own)
  local key, redeemed, day, today, holds = read_customer(campaign, customer, call.seconds)
  local confirmed, confirmed_day = 0, 0
  for _, token in ipairs(own.tokens) do
    if token.number == campaign.number then confirmed, confirmed_day = confirmed + 1, token.day end
  end
  if confirmed_day > day then
    day, today = confirmed_day, confirmed
  elseif confirmed_day == day then
    today = today + confirmed
  end
  return pack_customer(redeemed + confirmed, day, today, without_own(holds, campaign, own)), key
end

-- Returns the record of a customer after a coupon, which was counted on a day, is given back and can be used again; false
-- when nothing is left in it; and its key.
function limits.customer_after_return(call, campaign, customer, used_day)
  local key, redeemed, day, today, holds = read_customer(campaign, customer, call.seconds)
  if redeemed == 0 or day == used_day and today == 0 then error('a customer who has not redeemed what is given back') end
  if day == used_day and today < COUNT_MAX then today = today - 1 end
  if redeemed < COUNT_MAX then redeemed = redeemed - 1 end
  if redeemed == 0 and holds == '' then return false, key end
  return pack_customer(redeemed, day, today, holds), key
end

-- Takes a part of a redemption's discount out of the counters of its campaign. coupon: its record · merchant: the
-- merchants' share of the part · is_first: nothing of it was given back before · is_whole: now all of it is · restores:
-- the coupon can be used again, so no limit counts it any more
function limits.apply_return(campaign, coupon, discount, merchant, is_first, is_whole, restores)
  local returned = campaign.returned
  wheel.take_out(campaign, coupon.day, coupon.slot, restores and 1 or 0, discount)
  campaign.merchant = math.max(campaign.merchant - merchant, 0)
  if coupon.offer > 0 then
    local offer = campaign.offers[coupon.offer]
    offer.redeemed, offer.discount = offer.redeemed - (is_whole and 1 or 0), offer.discount - discount
  end
  if is_first then returned.reversed = returned.reversed + 1 end
  if is_whole and not restores then returned.stays_used = returned.stays_used + 1 end
  returned.reversed_discount = returned.reversed_discount + discount
end

-- What an order's own hold takes of a campaign: coupons, their discount; and the part of both that is counted in the
-- campaign's present day, and the coupons in its present slot.
local function taken_by(own, campaign)
  local count, discount, count_day, discount_day, count_slot = 0, 0, 0, 0, 0
  for _, token in ipairs(own and own.tokens or {}) do
    if token.number == campaign.number then
      count, discount = count + 1, discount + token.discount
      if token.day == campaign.day then count_day, discount_day = count_day + 1, discount_day + token.discount end
      if token.slot == campaign.slot then count_slot = count_slot + 1 end
    end
  end
  return count, discount, count_day, discount_day, count_slot
end

-- How many of the tokens before this one are of the same campaign and approved, and their discount.
local function taken_before(tokens, index)
  local token, ahead, discount = tokens[index], 0, 0
  for earlier = 1, index - 1 do
    local other = tokens[earlier]
    if other.number == token.number then
      if other.serial == token.serial then error('a coupon that is twice in one order') end
      if other.rank == APPROVED then ahead, discount = ahead + 1, discount + other.discount end
    end
  end
  return ahead, discount
end

-- Returns APPROVED, or the outcome of the first limit of the campaign that has no room for a token. ahead and
-- ahead_discount: what the tokens before it take.
local function decide_campaign(campaign, token, ahead, ahead_discount, own)
  local count, discount, count_day, discount_day, count_slot = 0, 0, 0, 0, 0
  if own then count, discount, count_day, discount_day, count_slot = taken_by(own, campaign) end
  local redeemed, is_new_day = campaign.redeemed - count + ahead, is_over(campaign.day, token.day)
  local redeemed_day = (is_new_day and 0 or campaign.redeemed_day - count_day) + ahead
  if campaign.limit_day and redeemed_day >= campaign.limit_day then return DAY_LIMIT end
  if token.slot > 0 then
    -- With carry-over, the limit is for the whole day so far: what earlier slots left over may be used. What was
    -- redeemed before carry-over was switched on counts too.
    local is_new_slot = is_over(campaign.slot, token.slot)
    local redeemed_slot = is_new_slot and 0 or campaign.redeemed - campaign.slot_start - count_slot
    local counted = token.flags >= CARRIES and redeemed_day or redeemed_slot + ahead
    if counted >= token.slot_limit then return SLOT_LIMIT end
  end
  local limit = campaign.limit_redemptions
  if limit and redeemed >= limit then
    if redeemed - (campaign.held - count) < limit then token.until_ = campaign.hold_due end
    return CAMPAIGN_LIMIT
  end
  local spent = campaign.discount - discount + ahead_discount + token.discount
  limit = campaign.limit_budget or MINOR_MAX
  if spent > limit then
    if spent - (campaign.held_discount - discount) <= limit then token.until_ = campaign.hold_due end
    return BUDGET_EXHAUSTED
  end
  if campaign.limit_budget_day then
    local spent_day = is_new_day and 0 or campaign.discount - campaign.budget_start - discount_day
    if spent_day + ahead_discount + token.discount > campaign.limit_budget_day then return BUDGET_DAY_RANK end
  end
  return APPROVED
end

-- Returns APPROVED or the outcome of the limit that has no room for a token of a customer (the digest), and plans the
-- customer's record. ahead: how many tokens of the campaign are before it · expires: of the hold, or false
local function decide_customer(call, campaign, token, customer, ahead, own, expires)
  local key, redeemed, day, today, holds = read_customer(campaign, customer, call.seconds)
  local is_new_day = is_over(day, token.day)
  local held, held_today, first_due = 0, 0, nil
  if holds ~= '' then
    if own and own.customer == customer then holds = without_own(holds, campaign, own) end
    held, held_today, first_due = count_holds(holds, token.day)
  end
  local counted, counted_today = redeemed + held + ahead, (is_new_day and 0 or today) + held_today + ahead
  local limit = campaign.limit_customer
  if limit and counted >= limit then
    if counted - held < limit then token.until_ = first_due end
    return CUSTOMER_LIMIT
  end
  if campaign.limit_customer_day and counted_today >= campaign.limit_customer_day then return CUSTOMER_DAY_LIMIT end
  token.customer_key = key
  if expires then
    holds = holds .. struct.pack('>I4I2', expires, token.day):rep(ahead + 1)
    token.customer_record = pack_customer(redeemed, day, today, holds)
  else
    token.customer_record =
      pack_customer(redeemed + ahead + 1, token.day, (is_new_day and 0 or today) + ahead + 1, holds)
  end
  return APPROVED
end

-- Returns APPROVED, or the outcome of the first limit that has no room for a token.
-- customer: the digest, or false · tokens: all of the order; this token is at `index` · expires: when the hold that is
-- decided is over, Unix seconds; false: it is a redemption
-- A token with room for its customer gets customer_key and customer_record, which are written if the order is approved;
-- customer_key is false for a guest. If only holds are in the way, token.until_ is when the first of them is over.
function limits.decide_redemption(call, campaign, token, customer, tokens, index, own, expires)
  local ahead, ahead_discount = 0, 0
  if index > 1 then ahead, ahead_discount = taken_before(tokens, index) end
  token.customer_key = false
  if customer then
    local rank = decide_customer(call, campaign, token, customer, ahead, own, expires)
    if rank ~= APPROVED then return rank end
  end
  return decide_campaign(campaign, token, ahead, ahead_discount, own)
end

-- Counts what a redemption alone counts, and a hold does not.
local function count_use(campaign, token)
  local order_value = campaign.order_value + token.order_value
  campaign.order_value = order_value < MINOR_MAX and order_value or MINOR_MAX
  if token.merchant > 0 then campaign.merchant = campaign.merchant + token.merchant end
  if token.offer > 0 then
    local offer = campaign.offers[token.offer]
    offer.redeemed = offer.redeemed + 1
    offer.discount = offer.discount + token.discount
  end
end

-- Counts a token whose hold became a redemption: it is in the counters of redemptions already.
function limits.apply_confirmation(campaign, token) count_use(campaign, token) end

-- Counts the redemption, or the hold, of a token that was approved for a customer (the digest, or false).
function limits.apply_redemption(campaign, token, customer, expires)
  if token.customer_key then command('HSET', token.customer_key, customer, token.customer_record) end
  local redeemed, discount = campaign.redeemed, campaign.discount
  if is_over(campaign.day, token.day) then
    campaign.day, campaign.redeemed_day, campaign.budget_start = token.day, 0, discount
  end
  if token.slot > 0 and is_over(campaign.slot, token.slot) then
    campaign.slot, campaign.slot_start = token.slot, redeemed
  end
  campaign.redeemed = redeemed + 1
  campaign.redeemed_day = campaign.redeemed_day + 1
  campaign.discount = discount + token.discount
  if expires then
    wheel.add(campaign, expires, token.day, token.slot, token.discount)
  else
    count_use(campaign, token)
  end
end

-- Snapshot of a campaign: number 4 · redeemed 8 · discount 8 · day 2 · redeemed on that day 8 · discount of that day 8
-- · slot 4 · redeemed in that slot 8 · of the customer: redeemed 2 · day 2 · redeemed on that day 2 · of all this, what is
-- only held: coupons 8 · discount 8 · when the first of these holds is over 4 · the customer's coupons 2 · when the first
-- of these is over 4 (Unix seconds, 0: there are none). Days are since 1970, in the campaign's zone; discounts are minor
-- units.
local CAMPAIGN_SNAPSHOT = '>I4I8I8I2I8I8I4I8I2I2I2I8I8I4I2I4'

-- Returns what a customer has redeemed and holds in a campaign, as one counts it today: coupons, day, those of that day;
-- and how many of them are only held, and when the first hold is over.
local function count_customer(call, campaign, customer, own)
  local _, redeemed, day, today, holds = read_customer(campaign, customer, call.seconds)
  if own and own.customer == customer then holds = without_own(holds, campaign, own) end
  for at = 1, #holds, HELD_BYTES do
    local _, held_day = struct.unpack('>I4I2', holds, at)
    if held_day > day then day, today = held_day, 0 end
  end
  local held, held_today, first_due = count_holds(holds, day)
  return redeemed + held, day, today + held_today, held, first_due or 0
end

-- Returns the snapshot of a campaign's counters, without what an order's own hold takes. customer: the digest, or false
function limits.snapshot(call, campaign, customer, own)
  local redeemed, day, today, held, first_due = 0, 0, 0, 0, 0
  if customer then redeemed, day, today, held, first_due = count_customer(call, campaign, customer, own) end
  local count, discount, count_day, discount_day, count_slot = taken_by(own, campaign)
  local redeemed_slot = campaign.slot > 0 and campaign.redeemed - campaign.slot_start - count_slot or 0
  return struct.pack(CAMPAIGN_SNAPSHOT, campaign.number, campaign.redeemed - count, campaign.discount - discount,
    campaign.day, campaign.redeemed_day - count_day, campaign.discount - campaign.budget_start - discount_day,
    campaign.slot, redeemed_slot, redeemed, day, today, campaign.held - count, campaign.held_discount - discount,
    campaign.hold_due, held, first_due)
end

-- Issued coupons

-- Returns how many more coupons of an offer may be issued on a day, and which limit allows the fewest: issued, offer or
-- day. quota: of the offer (0: none)
function limits.decide_issue(campaign, offer, quota, day)
  local issuing = campaigns.issuing(campaign)
  local left, limit = (issuing.limit_issued or SERIALS) - campaign.issued, 'issued'
  local issued_of_offer = campaigns.offer(campaign, offer).issued
  if quota > 0 and quota - issued_of_offer < left then left, limit = quota - issued_of_offer, 'offer' end
  if issuing.limit_issued_day then
    local today = is_over(issuing.issue_day, day) and 0 or issuing.issued_day
    if issuing.limit_issued_day - today < left then left, limit = issuing.limit_issued_day - today, 'day' end
  end
  return math.max(left, 0), limit
end

-- Counts coupons of an offer as issued.
function limits.apply_issue(campaign, offer, day, count)
  local issuing, of_offer = campaign.issuing, campaign.offers[offer]
  campaign.issued = campaign.issued + count
  of_offer.issued = of_offer.issued + count
  if is_over(issuing.issue_day, day) then issuing.issue_day, issuing.issued_day = day, 0 end
  issuing.issued_day = issuing.issued_day + count
end

-- Claims

-- Reads how often a customer (kind c) or a person (kind p) claimed of a campaign: key, field, claims.
local function read_claims(call, campaign, kind, digest)
  local key, field = keys.claims(call.tag, campaign.number, campaign.customer_buckets, kind, digest)
  local stored = redis.call('HGET', key, field)
  return key, field, stored and records.unpack_claims(stored) or 0
end

-- Returns CLAIM_LIMIT when there is no room for one more claim. Else it returns nil, and has planned the writes of the
-- counters of customer and person. person: the digest, or false
function limits.decide_claim(call, campaign, customer, person)
  local issuing = campaigns.issuing(campaign)
  local limit_customer, limit_person = issuing.limit_claims_customer, issuing.limit_claims_person
  local key, field, claims = read_claims(call, campaign, 'c', customer)
  local person_key, person_field, person_claims
  if person then person_key, person_field, person_claims = read_claims(call, campaign, 'p', person) end
  if limit_customer and claims >= limit_customer then return CLAIM_LIMIT end
  if limit_person and not person then error('a claim that names no person, whose claims are limited') end
  if limit_person and person_claims >= limit_person then return CLAIM_LIMIT end
  frame.plan(key, field, records.pack_claims(claims + 1))
  if person then frame.plan(person_key, person_field, records.pack_claims(person_claims + 1)) end
  return nil
end

-- Counts a claim.
function limits.apply_claim(campaign) campaign.issuing.claimed = campaign.issuing.claimed + 1 end

return limits
