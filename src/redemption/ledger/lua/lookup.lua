-- Reads that write nothing.
--
-- KEYS[1] the program's tag · ARGV[1] what the server knows of the ledger (see call.lua; status takes none)
-- campaigns      ARGV first · of this number and each one that follows the version at hand (empty: none): replies a list
--                of number, version, definition (empty: it is the one at hand), for those that exist
-- named          ARGV name: replies the number of the campaign that has it, or nothing
-- counters       ARGV campaign: replies clock (ms), then the fields of COUNTER_FIELDS, or nothing
-- coupon         ARGV campaign · serial: replies what is seen of it (see look.lua)
-- request        ARGV request digest: replies the record of an approval, or nothing
-- status         replies the header as field, value, …, and the length of the event stream

local COUNTER_FIELDS = { 'issued', 'redeemed', 'discount', 'day', 'redeemed_day', 'merchant', 'claimed' }

local function campaigns(key_names, args)
  local call = begin(key_names[1], args[1])
  local found = {}
  for index = 3, #args do
    local number = tonumber(args[2]) + index - 3
    local key = keys.campaign(call.tag, number)
    local version = redis.call('HGET', key, 'version')
    if version then
      local is_at_hand = version == args[index]
      found[#found + 1] = number
      found[#found + 1] = tonumber(version) or 0
      found[#found + 1] = is_at_hand and '' or redis.call('HGET', key, 'definition') or ''
    end
  end
  return found
end

local function named(key_names, args)
  local call = begin(key_names[1], args[1])
  return redis.call('HGET', keys.names(call.tag), args[2])
end

local function counters(key_names, args)
  local call = begin(key_names[1], args[1])
  local values = redis.call('HMGET', keys.campaign(call.tag, tonumber(args[2])), unpack(COUNTER_FIELDS))
  if not values[1] then return {} end
  return { number_text(call.now), unpack(values) }
end

local function coupon(key_names, args)
  local call = begin(key_names[1], args[1])
  local number = tonumber(args[2])
  return see_coupon(call, number, campaign_of(call, number), tonumber(args[3]), false)
end

local function request(key_names, args)
  local call = begin(key_names[1], args[1])
  local value = read_request(call, args[2])
  return value and is_approval(value) and value or false
end

local function status(key_names)
  local header = redis.call('HGETALL', keys.ledger(key_names[1]))
  header[#header + 1] = 'events'
  header[#header + 1] = redis.call('XLEN', keys.events(key_names[1]))
  return header
end
