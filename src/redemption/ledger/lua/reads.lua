-- campaigns, named, counters, rule_counts, coupon, request and status: read something, and write nothing.
--
-- KEYS[1], ARGV[1] to ARGV[3]  see frame.lua (status has no ARGV)
-- campaigns  ARGV[4] first number · [5…] for this number and those that follow it: the version that the server has
--            (empty: none)
--            Replies number, version, definition, … of the campaigns that exist (definition empty: the server has it)
-- named      ARGV[4] name · [5] what it looks like
--            Replies number and name of the campaign that has this name, or else one that looks the same; or nothing
-- counters   ARGV[4] campaign · [5] how many offers it has
--            Replies what it is warned of (warnings.lua; empty: nothing), clock (Unix ms), claimed, the counters of COUNTERS,
--            redemptions of which anything was given back, the discount that was, redeemed (without what is only held or was
--            given back whole), discount, redeemed on the day (both without what is only held), then of each offer: issued,
--            redeemed, discount (minor units), then of each outcome that refused: outcome, count; or an empty list when
--            there is no such campaign
-- rule_counts
--            Replies clock (Unix ms), then what rules did and how often: see refusal_counts.lua
-- coupon     ARGV[4] campaign · [5] serial
--            Replies the snapshot of the coupon · how often it was given back whole 2 · given back of its present use 8 (minor
--            units), see quote_snapshot.lua
-- request    ARGV[4] request digest
--            Replies the record of an approved order, or nil
-- subject_states  ARGV[4] a subject's digest
--            Replies clock (Unix ms), version of the rules, then of each rule in their order what it has counted of the
--            subject (its state, see velocity.lua; empty: nothing)
-- status     Replies the header as field, value, …, and `events`, the length of the event stream
-- Invariant: none of them writes.

local reads = {}

local FIRST_VERSION = 5

local COUNTERS = { 'issued', 'held', 'held_discount', 'day', 'merchant', 'order_value' }

function reads.campaigns(key_names, args)
  local first = tonumber(args[4])
  local call, found = frame.begin(key_names, args), {}
  for index = FIRST_VERSION, #args do
    local number, version_at_hand = first + index - FIRST_VERSION, args[index]
    local key = keys.campaign(call.tag, number)
    local version = redis.call('HGET', key, 'version')
    if version then
      local is_at_hand = version == version_at_hand
      found[#found + 1] = number
      found[#found + 1] = tonumber(version) or 0
      found[#found + 1] = is_at_hand and '' or redis.call('HGET', key, 'definition') or ''
    end
  end
  return found
end

function reads.named(key_names, args)
  local name, appearance = args[4], args[5]
  local call = frame.begin(key_names, args)
  local number = redis.call('HGET', keys.names(call.tag), name)
  if number then return { number, name } end
  return { define.holder_of_appearance(call, appearance) }
end

function reads.counters(key_names, args)
  local number, offers = tonumber(args[4]), tonumber(args[5])
  local call = frame.begin(key_names, args)
  local campaign = campaigns.of(call, number)
  if not campaign then return {} end
  local warned = redis.pcall('HGET', keys.warnings(call.tag), keys.number_text(number))
  local found = {
    type(warned) == 'string' and warned or '', keys.number_text(call.now),
    keys.number_text(campaigns.issuing(campaign).claimed),
  }
  for _, counter in ipairs(COUNTERS) do found[#found + 1] = keys.number_text(campaign[counter]) end
  local returned = campaigns.returned(campaign)
  found[#found + 1] = keys.number_text(returned.reversed)
  found[#found + 1] = keys.number_text(returned.reversed_discount)
  local redeemed = campaign.redeemed - campaign.held - returned.stays_used
  local discount = campaign.discount - campaign.held_discount
  found[#found + 1] = keys.number_text(redeemed)
  found[#found + 1] = keys.number_text(discount)
  found[#found + 1] = keys.number_text(campaign.redeemed_day - wheel.held_on(call, campaign, campaign.day))
  local rest = { redeemed = redeemed, discount = discount } -- for offer 0, see campaigns.lua
  for index = 1, offers - 1 do
    local offer = campaigns.offer(campaign, index)
    rest.redeemed, rest.discount = rest.redeemed - offer.redeemed, rest.discount - offer.discount
  end
  for index = 0, offers - 1 do
    local offer = campaigns.offer(campaign, index)
    local counted = index == 0 and rest or offer
    found[#found + 1] = keys.number_text(offer.issued)
    found[#found + 1] = keys.number_text(counted.redeemed)
    found[#found + 1] = keys.number_text(counted.discount)
  end
  for _, text in ipairs(redis.call('HGETALL', keys.refused(call.tag, number))) do found[#found + 1] = text end
  return found
end

function reads.rule_counts(key_names, args)
  local call = frame.begin(key_names, args)
  local found = { keys.number_text(call.now) }
  for _, text in ipairs(redis.call('HGETALL', keys.rule_counts(call.tag))) do found[#found + 1] = text end
  return found
end

function reads.coupon(key_names, args)
  local number, serial = tonumber(args[4]), tonumber(args[5])
  local call = frame.begin(key_names, args)
  return quote_snapshot.coupon_with_returns(call, campaigns.of(call, number), serial)
end

function reads.request(key_names, args)
  local digest = args[4]
  local call = frame.begin(key_names, args)
  local value = idempotency.find_digest(call, digest)
  return value and records.is_approval(value) and value or false
end

function reads.subject_states(key_names, args)
  local digest = args[4]
  local call = frame.begin(key_names, args)
  local found = { keys.number_text(call.now), keys.number_text(call.rules) }
  for _, rule in ipairs(rules.checks(call)) do found[#found + 1] = velocity.state_of(call, rule, digest) end
  return found
end

function reads.status(key_names)
  local tag = key_names[1]
  local header = redis.call('HGETALL', keys.ledger(tag))
  header[#header + 1] = 'events'
  header[#header + 1] = redis.call('XLEN', keys.events(tag))
  return header
end

return reads
