-- The working copy of a campaign: a call reads a campaign once, counts in this copy, and writes it once, when it is
-- closed.
--
-- A campaign is one hash. Its fields are the definition and its version, the layout (`width`, `customer_buckets`), the
-- limits (missing: none) and the counters (missing: 0).
-- `redeemed` and `discount`, and those of a day and a slot, are what limits are compared with: coupons that are used or
-- held. `held` and `held_discount` are the part that is only held, and `hold_due` is explained in wheel.lua. All other
-- counters (`merchant`, `order_value`, and those of offers) are of coupons that are used.
-- `slot_start` is what `redeemed` was when the slot began; `budget_start` is what `discount` was when the day began.
-- The difference is what was redeemed in the slot, or discounted on the day. So these two need no counter that every
-- redemption writes, and a limit that is set in the middle of a day counts all of that day. Code that lowers a total, for
-- a redemption of an earlier slot or day, must lower the start by as much.

local campaigns = {}

local FIELDS = {
  'version', 'width', 'customer_buckets',
  'limit_redemptions', 'limit_customer', 'limit_customer_day', 'limit_day', 'limit_budget', 'limit_budget_day',
  'issued', 'redeemed', 'discount', 'merchant', 'order_value', 'day', 'redeemed_day', 'budget_start',
  'slot', 'slot_start', 'revoked', 'revoked_customers',
  'held', 'held_discount', 'hold_due',
}
local FIRST_COUNTER = 10 -- from here on they are counters
local ISSUING_FIELDS = {
  'limit_issued', 'limit_issued_day', 'limit_claims_customer', 'limit_claims_person',
  'issue_day', 'issued_day', 'claimed',
}
local FIRST_ISSUING_COUNTER = 5
-- Of what was given back: redemptions of which anything was, the discount (minor units), and redemptions that were given
-- back whole whose coupons stay used, so that they are in `redeemed` still.
local RETURN_FIELDS = { 'reversed', 'reversed_discount', 'stays_used' }
-- Counters of an offer; the field is this name, a colon and the offer's index. `redeemed` and `discount` of offer 0 are
-- not stored: they are the total of what is used less those of all other offers, and most campaigns have no other offer.
local OFFER_COUNTERS = { 'issued', 'redeemed', 'discount' }

-- Reads fields of a hash as whole numbers; false where a field is missing.
local function numbers(key, fields)
  local values = redis.call('HMGET', key, unpack(fields))
  for index = 1, #fields do
    local value = values[index]
    -- Raised here, before anything is written: a limit that cannot be read must not be taken for none.
    if value then
      values[index] = keys.whole(value) or error('campaign record whose ' .. fields[index] .. ' is no number')
    end
  end
  return values
end

-- The working copy of a campaign; false when there is no such campaign. A limit that is missing is false.
function campaigns.of(call, number)
  local campaign = call.campaigns[number]
  if campaign == nil then
    local key = keys.campaign(call.tag, number)
    local stored = numbers(key, FIELDS)
    -- All fields at once, in the order of FIELDS: a table that grows field by field takes longer than the read.
    campaign = stored[1] and {
      key = key, number = number, stored = stored, issuing = false, returned = false, offers = {},
      used_prefix = keys.used_prefix(call.tag, number), customer_prefix = keys.customer_prefix(call.tag, number),
      version = stored[1], width = stored[2], customer_buckets = stored[3],
      limit_redemptions = stored[4], limit_customer = stored[5], limit_customer_day = stored[6], limit_day = stored[7],
      limit_budget = stored[8], limit_budget_day = stored[9],
      issued = stored[10] or 0, redeemed = stored[11] or 0, discount = stored[12] or 0, merchant = stored[13] or 0,
      order_value = stored[14] or 0, day = stored[15] or 0, redeemed_day = stored[16] or 0,
      budget_start = stored[17] or 0, slot = stored[18] or 0, slot_start = stored[19] or 0,
      revoked = stored[20] or 0, revoked_customers = stored[21] or 0,
      has_revoked = (stored[20] or 0) + (stored[21] or 0) > 0,
      held = stored[22] or 0, held_discount = stored[23] or 0, hold_due = stored[24] or 0,
      seconds = false, swept = false,
    }
    if campaign and campaign.hold_due > 0 and campaign.hold_due <= call.seconds then wheel.sweep(call, campaign) end
    call.campaigns[number] = campaign
  end
  return campaign
end

-- The part of the working copy that issuing and claims need; it is read when it is first asked for.
function campaigns.issuing(campaign)
  local issuing = campaign.issuing
  if not issuing then
    local stored = numbers(campaign.key, ISSUING_FIELDS)
    issuing = {
      stored = stored,
      limit_issued = stored[1], limit_issued_day = stored[2], limit_claims_customer = stored[3],
      limit_claims_person = stored[4],
      issue_day = stored[5] or 0, issued_day = stored[6] or 0, claimed = stored[7] or 0,
    }
    campaign.issuing = issuing
  end
  return issuing
end

-- The part of the working copy that tells what was given back; it is read when it is first asked for.
function campaigns.returned(campaign)
  local returned = campaign.returned
  if not returned then
    local stored = numbers(campaign.key, RETURN_FIELDS)
    returned = {
      stored = stored, reversed = stored[1] or 0, reversed_discount = stored[2] or 0, stays_used = stored[3] or 0,
    }
    campaign.returned = returned
  end
  return returned
end

-- The counters of one offer, which are read when they are first asked for.
function campaigns.offer(campaign, index)
  local offer = campaign.offers[index]
  if not offer then
    local suffix, fields = ':' .. keys.number_text(index), {}
    for place, counter in ipairs(OFFER_COUNTERS) do fields[place] = counter .. suffix end
    local stored = numbers(campaign.key, fields)
    offer = {
      fields = fields, stored = stored, issued = stored[1] or 0, redeemed = stored[2] or 0, discount = stored[3] or 0,
    }
    campaign.offers[index] = offer
  end
  return offer
end

-- Whether the records of a campaign are being removed or are removed already: then none may be written any more.
function campaigns.is_archived(campaign) return redis.call('HEXISTS', campaign.key, 'archive') == 1 end

-- Whether a judgement is outdated, because it was made by another version of the campaign than the one in force. If so,
-- the campaign's number goes into the set `stale`.
function campaigns.is_stale(campaign, number, version, stale)
  if (campaign and campaign.version or 0) == version then return false end
  stale[number] = true
  return true
end

-- What is in force of the campaigns in a set, as a list: number, version, definition, …. A campaign that does not exist
-- has version 0 and an empty definition.
function campaigns.definitions(call, wanted)
  local found = {}
  for number in pairs(wanted) do
    local values = redis.call('HMGET', keys.campaign(call.tag, number), 'version', 'definition')
    found[#found + 1] = number
    found[#found + 1] = tonumber(values[1] or 0) or 0
    found[#found + 1] = values[2] or ''
  end
  return found
end

-- Adds to a flat list the fields and values of counters that differ from what is stored. names: of the counters in
-- `now`; fields: of the same counters in the ledger.
local function changes(flat, now, names, fields, stored, first)
  for index = first, #names do
    local value = now[names[index]]
    if value ~= (stored[index] or 0) then
      flat[#flat + 1] = fields[index]
      flat[#flat + 1] = keys.number_text(value)
    end
  end
end

-- Writes all counters that the call changed.
function campaigns.close(call)
  for _, campaign in pairs(call.campaigns) do
    if campaign then
      local flat, issuing, returned = {}, campaign.issuing, campaign.returned
      changes(flat, campaign, FIELDS, FIELDS, campaign.stored, FIRST_COUNTER)
      if issuing then changes(flat, issuing, ISSUING_FIELDS, ISSUING_FIELDS, issuing.stored, FIRST_ISSUING_COUNTER) end
      if returned then changes(flat, returned, RETURN_FIELDS, RETURN_FIELDS, returned.stored, 1) end
      for _, offer in pairs(campaign.offers) do changes(flat, offer, OFFER_COUNTERS, offer.fields, offer.stored, 1) end
      if #flat > 0 then redis.call('HSET', campaign.key, unpack(flat)) end
      wheel.close(call, campaign)
    end
  end
end

return campaigns
