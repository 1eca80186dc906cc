-- The frame of every call that writes: what it reads first, what it stages, and how it is applied.
--
-- Lua does not roll back, so a call has three phases. Decide: reads only; whatever an item wants to change is staged,
-- and staged only when all of the item was decided. Apply: writes that cannot fail, to keys whose type was read.
-- Reply. A call that writes raises `seq` by one and moves the clock, which never runs backwards.

local GENERATION_MS = 86400000
local REQUEST_BUCKETS = 4096
local REAPED_AT_ONCE = 16
-- What is read of every campaign that a call decides about. A limit that is missing is none; the numbers of the last
-- two lines are missing until they are first needed.
local CAMPAIGN_FIELDS = {
  'version', 'width', 'customer_buckets', 'issued', 'redeemed', 'discount', 'day', 'redeemed_day',
  'limit_redemptions', 'limit_customer', 'limit_customer_day', 'limit_day', 'limit_budget', 'limit_budget_day',
  'merchant', 'budget_day', 'budget_start', 'slot', 'slot_start',
  'revoked', 'revoked_customers',
}

-- Reads the program's header and compares it with what the server knows of it (ARGV[1] of every function: epoch 16,
-- then the least sequence number; empty when it knows nothing). Raises when there is no ledger, or another one, or one
-- that forgot: so before anything is decided.
local function begin(tag, known)
  local header = redis.call('HMGET', keys.ledger(tag), 'epoch', 'seq', 'clock', 'reaped')
  if not header[1] and known == '' then error({ err = 'NOLEDGER this program has no ledger here' }) end
  if known ~= '' and (header[1] ~= known:sub(1, 16) or tonumber(header[2]) < tonumber(known:sub(17))) then
    error({ err = 'NOTTRUSTED this is not the ledger that the server knows' })
  end
  redis.call('XLEN', keys.events(tag)) -- raises here, before anything is written, if it is no stream
  local time = redis.call('TIME')
  local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(header[3]))
  return {
    tag = tag, epoch = header[1], seq = tonumber(header[2]), now = now, seconds = math.floor(now / 1000),
    generation = math.floor(now / GENERATION_MS), reaped = tonumber(header[4]),
    writes = {}, campaigns = {}, counters = {}, changed = {}, events = {},
  }
end

-- A field of a hash as this call sees it: staged by an earlier item, or stored.
local function read(call, key, field)
  local staged = call.writes[key]
  if staged and staged[field] then return staged[field] end
  return redis.call('HGET', key, field)
end

-- The campaign as this call sees it, read once; false when there is none, and a field is false that is missing.
local function campaign_of(call, number)
  local campaign = call.campaigns[number]
  if campaign == nil then
    local values = redis.call('HMGET', keys.campaign(call.tag, number), unpack(CAMPAIGN_FIELDS))
    campaign = false
    if values[1] then
      campaign = {}
      for index, field in ipairs(CAMPAIGN_FIELDS) do
        local value = values[index]
        -- A limit that cannot be read is not taken for none.
        campaign[field] = value and (tonumber(value) or error('campaign record whose ' .. field .. ' is no number'))
      end
    end
    call.campaigns[number] = campaign
  end
  return campaign
end

-- Whether the records of a campaign are being removed, or are gone: then none may be written any more.
local function is_archived(call, number)
  return redis.call('HEXISTS', keys.campaign(call.tag, number), 'archive') == 1
end

-- Says what no longer fits: the version of one of the judged campaigns (S), or the moment of the judgement (C).
local function misfit(call, judged, since, until_, stale)
  local found = nil
  for index = 1, #judged do
    local token = judged[index]
    local campaign = campaign_of(call, token.campaign)
    if (campaign and campaign.version or 0) ~= token.version then
      stale[token.campaign] = true
      found = 'S'
    end
  end
  if found then return found end
  if call.now < since or call.now >= until_ then return 'C' end
  return nil
end

-- What is in force now of the campaigns in a set: number, version, definition, …; version 0 of one that does not exist.
local function definitions(call, numbers)
  local found = {}
  for number in pairs(numbers) do
    local values = redis.call('HMGET', keys.campaign(call.tag, number), 'version', 'definition')
    found[#found + 1] = number
    found[#found + 1] = tonumber(values[1] or 0) or 0
    found[#found + 1] = values[2] or ''
  end
  return found
end

-- What was remembered under a request digest, in the current generation or the one before, or false; then key and field
-- under which it is to be remembered now.
local function read_request(call, digest)
  local key, field = keys.request(call.tag, call.generation, digest)
  local value = read(call, key, field)
  return value or read(call, keys.request(call.tag, call.generation - 1, digest)), key, field
end

local function stage(call, key, field, value)
  local fields = call.writes[key]
  if not fields then
    fields = {}
    call.writes[key] = fields
  end
  fields[field] = value
end

local function number_text(value) return string.format('%.0f', value) end

-- Changes numbers of a campaign, for this call's later items to see; they are spelled and written once a call. What is 0
-- and was never written stays unwritten. What redemptions change is in `counters` until the call is applied.
local function stage_campaign(call, number, fields)
  local campaign, changed = call.campaigns[number], call.changed[number]
  if not changed then
    changed = {}
    call.changed[number] = changed
  end
  for field, value in pairs(fields) do
    if value ~= (campaign[field] or 0) then
      campaign[field] = value
      changed[field] = true
    end
  end
end

-- Requests are remembered for the rest of their day and the whole next one; older buckets go, a few with each call.
local function reap(call)
  local due = (call.generation - 1) * REQUEST_BUCKETS
  if call.reaped >= due then return end
  local last = math.min(call.reaped + REAPED_AT_ONCE, due)
  local dead = {}
  for position = call.reaped, last - 1 do
    local generation = math.floor(position / REQUEST_BUCKETS)
    dead[#dead + 1] = keys.request_bucket(call.tag, generation, position % REQUEST_BUCKETS)
  end
  redis.call('UNLINK', unpack(dead))
  call.reaped = last
end

-- Writes fields of a hash. Most have one, for which no list is made.
local function write(key, fields)
  local first, its_value = next(fields)
  if next(fields, first) == nil then
    redis.call('HSET', key, first, its_value)
    return
  end
  local flat = {}
  for field, value in pairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
end

-- Writes all that was staged. outbox_max: about how many entries the event stream keeps; older ones are trimmed.
local function apply(call, outbox_max)
  call.seq = call.seq + 1
  if #call.events > 0 then
    -- First, because it is the only one that could still fail: at the stream's very last id.
    redis.call('XADD', keys.events(call.tag), 'MAXLEN', '~', outbox_max, '*', 'e',
      cmsgpack.pack({ call.seq, call.seconds, call.events }))
  end
  for number, counters in pairs(call.counters) do stage_campaign(call, number, counters) end
  for number, changed in pairs(call.changed) do
    local key, campaign = keys.campaign(call.tag, number), call.campaigns[number]
    for field in pairs(changed) do stage(call, key, field, number_text(campaign[field])) end
  end
  for key, fields in pairs(call.writes) do write(key, fields) end
  reap(call)
  redis.call('HSET', keys.ledger(call.tag), 'seq', number_text(call.seq), 'clock', number_text(call.now),
    'reaped', number_text(call.reaped))
end

-- The head of every reply: sequence number 8 (raised if the call was applied) · clock 8 (Unix milliseconds) · epoch (16
-- hexadecimal digits).
local function head(call)
  return struct.pack('>I8I8', call.seq, call.now) .. call.epoch
end
