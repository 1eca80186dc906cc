-- Reads that write nothing.
--
-- KEYS[1] the program's tag, always.
-- campaigns      ARGV first · last: replies a list of number, version, definition, for those that exist
-- counters       ARGV campaign: replies clock (ms), then the fields of COUNTER_FIELDS, or nothing
-- coupon         ARGV campaign · serial: replies issued (1 or 0), then the coupon record or nothing
-- request        ARGV request digest: replies the request record, or nothing
-- status         replies the header as field, value, …, and the length of the event stream

local COUNTER_FIELDS = { 'issued', 'redeemed', 'discount', 'day', 'redeemed_day', 'limit_budget' }

local function campaigns(key_names, args)
  local found = {}
  for number = tonumber(args[1]), tonumber(args[2]) do
    local values = redis.call('HMGET', keys.campaign(key_names[1], number), 'version', 'definition')
    if values[1] then
      found[#found + 1] = number
      found[#found + 1] = tonumber(values[1])
      found[#found + 1] = values[2]
    end
  end
  return found
end

local function counters(key_names, args)
  local values = redis.call('HMGET', keys.campaign(key_names[1], args[1]), unpack(COUNTER_FIELDS))
  if not values[1] then return {} end
  local call = begin(key_names[1])
  local reply = { number_text(call.now) }
  for index = 1, #COUNTER_FIELDS do reply[index + 1] = values[index] or '' end
  return reply
end

local function coupon(key_names, args)
  local number, serial = tonumber(args[1]), tonumber(args[2])
  local values = redis.call('HMGET', keys.campaign(key_names[1], number), 'width', 'issued')
  if not values[1] or serial >= tonumber(values[2]) then return { 0, false } end
  local key, field = keys.used(key_names[1], number, tonumber(values[1]), serial)
  return { 1, redis.call('HGET', key, field) }
end

local function request(key_names, args)
  local call = begin(key_names[1])
  return call and read_request(call, args[1]) or false
end

local function status(key_names)
  local header = redis.call('HGETALL', keys.ledger(key_names[1]))
  header[#header + 1] = 'events'
  header[#header + 1] = redis.call('XLEN', keys.events(key_names[1]))
  return header
end
