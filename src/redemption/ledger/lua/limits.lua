-- Counters, their periods and their limits: of redemptions, of issued coupons and of claims.
--
-- An operation first asks a decide function whether there is room. When the whole operation is decided, it calls the
-- apply function of the same name, which counts (of a claim, frame.apply writes the counters of customer and person).
-- Limits and counters of a campaign are in its working copy
-- (campaigns.lua). Counters of one customer, and claims of one customer or person, are records of their own
-- (records.lua).
--
-- campaign  a working copy, see campaigns.lua
-- token     of an order, see redeem.lua. These functions read: number (of its campaign) · serial · rank · discount,
--           merchant and order_value (minor units) · day (days since 1970, campaign's zone) · slot (names a slot of a
--           day; 0: none) · slot_limit · flags (2 or more: the slot's limit is for all of the day so far) · offer
-- Invariant: no limit is exceeded; a counter is what the records say.

local limits = {}

local CUSTOMER_LIMIT, CUSTOMER_DAY_LIMIT = OUTCOME.CUSTOMER_LIMIT, OUTCOME.CUSTOMER_DAY_LIMIT
local DAY_LIMIT, SLOT_LIMIT, CAMPAIGN_LIMIT = OUTCOME.DAY_LIMIT, OUTCOME.SLOT_LIMIT, OUTCOME.CAMPAIGN_LIMIT
local BUDGET_EXHAUSTED, BUDGET_DAY_RANK = OUTCOME.BUDGET_EXHAUSTED, OUTCOME.BUDGET_DAY_RANK
local APPROVED, CLAIM_LIMIT = OUTCOME.APPROVED, OUTCOME.CLAIM_LIMIT

local customer_key = keys.customer -- every order calls these three: local names save it the table lookups
local pack_customer, unpack_customer = records.pack_customer, records.unpack_customer
local CARRIES = 2 -- a flag of a token
local MINOR_MAX = 2 ^ 53 - 1 -- minor units; numbers of Lua are exact up to here
local SERIALS = 2 ^ 40 -- of a campaign

-- The one rule of periods. Beside every counter of a day or a slot stands the number of that day or slot, its period.
-- When the present period is another one, the counter's period is over, and the counter begins anew.
local function is_over(period, present) return period ~= present end

-- Redemptions

-- Reads the counters of a customer in a campaign: key, redemptions, day of the last one, redemptions on that day.
local function read_customer(campaign, customer)
  local key = customer_key(campaign.customer_prefix, campaign.customer_buckets, customer)
  local stored = command('HGET', key, customer)
  if stored then return key, unpack_customer(stored) end
  return key, 0, 0, 0
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
local function decide_campaign(campaign, token, ahead, ahead_discount)
  local redeemed, is_new_day = campaign.redeemed + ahead, is_over(campaign.day, token.day)
  local redeemed_day = (is_new_day and 0 or campaign.redeemed_day) + ahead
  if campaign.limit_day and redeemed_day >= campaign.limit_day then return DAY_LIMIT end
  if token.slot > 0 then
    -- With carry-over, the limit is for the whole day so far: what earlier slots left over may be used. What was
    -- redeemed before carry-over was switched on counts too.
    local slot_start = is_over(campaign.slot, token.slot) and campaign.redeemed or campaign.slot_start
    local counted = token.flags >= CARRIES and redeemed_day or redeemed - slot_start
    if counted >= token.slot_limit then return SLOT_LIMIT end
  end
  if campaign.limit_redemptions and redeemed >= campaign.limit_redemptions then return CAMPAIGN_LIMIT end
  local spent = campaign.discount + ahead_discount + token.discount
  if spent > (campaign.limit_budget or MINOR_MAX) then return BUDGET_EXHAUSTED end
  if campaign.limit_budget_day then
    local budget_start = is_new_day and campaign.discount or campaign.budget_start
    if spent - budget_start > campaign.limit_budget_day then return BUDGET_DAY_RANK end
  end
  return APPROVED
end

-- Returns APPROVED, or the outcome of the first limit that has no room for a token.
-- customer: the digest, or false · tokens: all of the order; this token is at `index`
-- A token with room for its customer gets customer_key and customer_record, which are written if the order is approved;
-- customer_key is false for a guest.
function limits.decide_redemption(campaign, token, customer, tokens, index)
  local ahead, ahead_discount = 0, 0
  if index > 1 then ahead, ahead_discount = taken_before(tokens, index) end
  if customer then
    local key, redeemed, day, today = read_customer(campaign, customer)
    redeemed, today = redeemed + ahead, (is_over(day, token.day) and 0 or today) + ahead
    if campaign.limit_customer and redeemed >= campaign.limit_customer then return CUSTOMER_LIMIT end
    if campaign.limit_customer_day and today >= campaign.limit_customer_day then return CUSTOMER_DAY_LIMIT end
    token.customer_key, token.customer_record = key, pack_customer(redeemed + 1, token.day, today + 1)
  else
    token.customer_key = false
  end
  return decide_campaign(campaign, token, ahead, ahead_discount)
end

-- Counts the redemption of a token that was approved for a customer (the digest, or false).
function limits.apply_redemption(campaign, token, customer)
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
  local order_value = campaign.order_value + token.order_value
  campaign.order_value = order_value < MINOR_MAX and order_value or MINOR_MAX
  if token.merchant > 0 then campaign.merchant = campaign.merchant + token.merchant end
  if token.offer > 0 then
    local offer = campaign.offers[token.offer]
    offer.redeemed = offer.redeemed + 1
    offer.discount = offer.discount + token.discount
  end
end

-- Snapshot of a campaign: number 4 · redeemed 8 · discount 8 · day 2 · redeemed on that day 8 · discount of that day 8
-- · slot 4 · redeemed in that slot 8 · of the customer: redeemed 2 · day 2 · redeemed on that day 2. Days are since
-- 1970, in the campaign's zone; discounts are minor units.
local CAMPAIGN_SNAPSHOT = '>I4I8I8I2I8I8I4I8I2I2I2'

-- Returns the snapshot of a campaign's counters. customer: the digest, or false
function limits.snapshot(campaign, customer)
  local redeemed, day, today = 0, 0, 0
  if customer then
    local _
    _, redeemed, day, today = read_customer(campaign, customer)
  end
  local redeemed_slot = campaign.slot > 0 and campaign.redeemed - campaign.slot_start or 0
  return struct.pack(CAMPAIGN_SNAPSHOT, campaign.number, campaign.redeemed, campaign.discount, campaign.day,
    campaign.redeemed_day, campaign.discount - campaign.budget_start, campaign.slot, redeemed_slot, redeemed, day,
    today)
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
