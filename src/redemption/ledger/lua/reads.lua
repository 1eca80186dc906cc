-- Reads that write nothing.
--
-- KEYS[1], ARGV[1] to ARGV[3]  see frame.lua (status takes none)
-- campaigns      ARGV[4] first · [5…] of this number and each one that follows the version at hand (empty: none): replies a
--                list of number, version, definition (empty: it is the one at hand), for those that exist
-- named          ARGV[4] name: replies the number of the campaign that has it, or nothing
-- counters       ARGV[4] campaign · [5] how many offers it has: replies clock (ms), claimed, then the counters of COUNTERS, then
--                of each offer: issued, redeemed, discount · then of each outcome that refused: outcome, count; or nothing
-- coupon         ARGV[4] campaign · [5] serial: replies what is seen of it (see quote_snapshot.lua)
-- request        ARGV[4] request digest: replies the record of an approval, or nothing
-- status         replies the header as field, value, …, and the length of the event stream

local reads = {}

local FIRST_VERSION = 5

local COUNTERS = { 'issued', 'redeemed', 'discount', 'day', 'redeemed_day', 'merchant', 'order_value' }

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
  local name = args[4]
  local call = frame.begin(key_names, args)
  return redis.call('HGET', keys.names(call.tag), name)
end

function reads.counters(key_names, args)
  local number, offers = tonumber(args[4]), tonumber(args[5])
  local call = frame.begin(key_names, args)
  local campaign = campaigns.of(call, number)
  if not campaign then return {} end
  local found = { keys.number_text(call.now), keys.number_text(campaigns.issuing(campaign).claimed) }
  for _, counter in ipairs(COUNTERS) do found[#found + 1] = keys.number_text(campaign[counter]) end
  local rest = { redeemed = campaign.redeemed, discount = campaign.discount } -- of offer 0: see campaigns.lua
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

function reads.coupon(key_names, args)
  local number, serial = tonumber(args[4]), tonumber(args[5])
  local call = frame.begin(key_names, args)
  return quote_snapshot.coupon(call, campaigns.of(call, number), serial, false)
end

function reads.request(key_names, args)
  local digest = args[4]
  local call = frame.begin(key_names, args)
  local value = requests.find_digest(call, digest)
  return value and records.is_approval(value) and value or false
end

function reads.status(key_names)
  local tag = key_names[1]
  local header = redis.call('HGETALL', keys.ledger(tag))
  header[#header + 1] = 'events'
  header[#header + 1] = redis.call('XLEN', keys.events(tag))
  return header
end

return reads
