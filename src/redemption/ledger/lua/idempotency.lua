-- Remembers requests: the digest of a request → its answer, for at least 24 hours.
--
-- Requests are kept in generations. A generation takes the requests of one day of the ledger's clock. Its number of
-- buckets is fixed when it begins; when it has too many requests for them, another generation begins on the same day. A
-- request is searched in every generation that may have requests of the last 24 hours: as a rule two. These are live.
-- Each call that writes removes a few buckets of the oldest one that is not live.
--
-- Fields of the header: `generations` has all of them, newest first, as id:buckets:begun (Unix ms) with blanks between
-- them; `remembered` is how many requests the newest has; `reaped` is how many buckets of the oldest are removed.

local idempotency = {}

local DAY_MS = 86400000
local BUCKETS_MIN, BUCKETS_MAX = 4096, 1048576
local PLACES = 16777216 -- values of the three bytes of a digest that choose the bucket
local BUCKETS_OF_FORMAT_2 = 4096
local ENTRIES = 64 -- of one bucket, when all comes as expected; a read of a bucket of 488 takes seven times as long
local CAMPAIGNS_MAX = 10000 -- read to estimate how many requests will come
local EXPECTED_BUCKETS_MAX = 65536 -- for coupons that are not used yet; requests that did come may need more
local REAPED_MIN, REAPED_PART = 16, 1024 -- a call removes so many buckets, or 1/1024 of all if that is more
local REAPED_IN_HASTE = 1024 -- or so many, times the square of how many more generations wait
local UNLINKED_AT_ONCE = 4096

local function day_end(moment) return (math.floor(moment / DAY_MS) + 1) * DAY_MS end

local function generation_of(tag, id, buckets, begun)
  return { id = id, buckets = buckets, begun = begun, prefix = keys.request_prefix(tag, id), share = PLACES / buckets }
end

-- Sets until when each generation is live: one day after the last moment at which it can have taken a request.
local function date(list)
  local replaced_at = nil
  for index = 1, #list do
    local generation = list[index]
    generation.needed_until = math.min(day_end(generation.begun), replaced_at or math.huge) + DAY_MS
    replaced_at = generation.begun
  end
  return list
end

-- Spells generations as the header's field has them.
local function spelled(list)
  local parts = {}
  for index = 1, #list do
    local generation = list[index]
    parts[index] = keys.number_text(generation.id) .. ':' .. keys.number_text(generation.buckets) .. ':'
      .. keys.number_text(generation.begun)
  end
  return table.concat(parts, ' ')
end

-- Reads the header's field. It keeps the last result: most calls find the same text.
local read_tag, read_text, read_list
local function read(tag, text)
  if read_tag == tag and read_text == text then return read_list end
  local list = {}
  for id, buckets, begun in string.gmatch(text, '(%d+):(%d+):(%d+)') do
    list[#list + 1] = generation_of(tag, tonumber(id), tonumber(buckets), tonumber(begun))
  end
  local readable = spelled(list) == text
  for index = 1, #list do readable = readable and list[index].buckets >= BUCKETS_MIN end
  if not readable then error({ err = 'UNREADABLE the generations of remembered requests' }) end
  read_tag, read_text, read_list = tag, text, date(list)
  return list
end

-- Adds to a call what the header says of remembered requests. rolls: a new generation has to begin.
function idempotency.begin(call, text, remembered, reaped)
  local list = read(call.tag, text)
  local live = #list
  while live > 0 and list[live].needed_until <= call.now do live = live - 1 end
  call.generations, call.live, call.remembered, call.reaped = list, live, remembered, reaped
  local newest = list[1]
  call.rolls = not newest or call.now >= day_end(newest.begun)
    or remembered > ENTRIES * newest.buckets
end

-- Returns the record of a request; or nil, and the key under which it would be remembered now. first, second and third
-- are the first bytes of its digest; field is the digest without the first one.
function idempotency.find(call, first, second, third, field)
  local newest_key = nil
  for index = 1, call.live do
    local generation = call.generations[index]
    local key = keys.request(generation.prefix, generation.share, first, second, third)
    local value = redis.call('HGET', key, field)
    if value then return value end
    newest_key = newest_key or key
  end
  return nil, newest_key
end

function idempotency.find_digest(call, digest)
  local first, second, third = digest:byte(1, 3)
  return idempotency.find(call, first, second, third, digest:sub(2))
end

-- Estimates how many requests the next generation will take. Coupons that can still be used count too: the day before a
-- sale may be quiet.
local function expected(call)
  local unused = 0
  local last = keys.whole(redis.call('HGET', keys.ledger(call.tag), 'campaigns')) or 0
  for number = last, math.max(last - CAMPAIGNS_MAX, 0) + 1, -1 do
    -- It is an estimate, so a record that cannot be read is left out.
    local values = redis.pcall('HMGET', keys.campaign(call.tag, number), 'issued', 'redeemed', 'ends_at', 'archive')
    local issued, redeemed = keys.whole(values[1]), keys.whole(values[2]) or 0
    local is_open = not values[4] and (keys.whole(values[3]) or call.now + 1) > call.now
    if issued and is_open then unused = unused + math.max(issued - redeemed, 0) end
  end
  return 2 * math.max(math.min(unused, EXPECTED_BUCKETS_MAX * ENTRIES / 2), call.remembered)
end

-- Begins a generation, also for the later items of this call. The header is written when the call is closed.
local function roll(call)
  local wanted, buckets = expected(call) / ENTRIES, BUCKETS_MIN
  while buckets < wanted and buckets < BUCKETS_MAX do buckets = buckets * 2 end
  local list = { generation_of(call.tag, (call.generations[1] and call.generations[1].id or 0) + 1, buckets, call.now) }
  for index, old in ipairs(call.generations) do
    list[index + 1] = generation_of(call.tag, old.id, old.buckets, old.begun)
  end
  call.generations, call.live, call.remembered, call.rolls = date(list), call.live + 1, 0, false
end

-- Returns the key under which a request is to be remembered; begins a generation if it is time. key: as `find` returned
-- it.
function idempotency.place(call, first, second, third, field, key)
  if not call.rolls then return key end
  roll(call)
  local found
  found, key = idempotency.find(call, first, second, third, field) -- this also makes sure of the new key's type
  if found then error('a request is remembered in a generation that only begins') end
  return key
end

function idempotency.place_digest(call, digest, key)
  local first, second, third = digest:byte(1, 3)
  local field = digest:sub(2)
  return idempotency.place(call, first, second, third, field, key), field
end

-- Removes a few buckets of the oldest generation, unless it is live. A program with few calls still gets a new
-- generation every day: so the more generations wait, the more buckets one call removes.
local function reap(call)
  local waiting = #call.generations - call.live
  if waiting == 0 then return end
  local oldest = call.generations[#call.generations]
  local at_once = math.max(REAPED_MIN, oldest.buckets / REAPED_PART, REAPED_IN_HASTE * (waiting - 1) ^ 2)
  local last = math.min(call.reaped + at_once, oldest.buckets)
  for first = call.reaped, last - 1, UNLINKED_AT_ONCE do
    local dead = {}
    for bucket = first, math.min(first + UNLINKED_AT_ONCE, last) - 1 do
      dead[#dead + 1] = oldest.prefix .. keys.number_text(bucket)
    end
    redis.call('UNLINK', unpack(dead))
  end
  call.reaped = last
  if last == oldest.buckets then
    local left = {}
    for index = 1, #call.generations - 1 do left[index] = call.generations[index] end
    call.generations, call.reaped = left, 0
  end
end

-- Removes some old buckets, and returns the fields and values of the header that change.
function idempotency.close(call)
  local before = call.reaped
  reap(call)
  local fields = { 'remembered', keys.number_text(call.remembered) }
  if call.reaped ~= before then
    fields[3], fields[4] = 'reaped', keys.number_text(call.reaped)
  end
  if call.generations ~= read_list then
    fields[#fields + 1] = 'generations'
    fields[#fields + 1] = spelled(call.generations)
  end
  return fields
end

-- Returns `generations` and `reaped` for a ledger that had format 2. There each day was a generation of 4,096 buckets,
-- and `reaped` counted buckets from day 0 on. day: the last day (since 1970) on which a request can have been
-- remembered.
function idempotency.of_format_2(day, reaped)
  local parts, first = {}, math.min(math.floor(reaped / BUCKETS_OF_FORMAT_2), day - 1)
  for generation = day, first, -1 do
    parts[#parts + 1] = keys.number_text(generation) .. ':' .. BUCKETS_OF_FORMAT_2 .. ':'
      .. keys.number_text(generation * DAY_MS)
  end
  return table.concat(parts, ' '), first < day - 1 and reaped % BUCKETS_OF_FORMAT_2 or 0
end

-- Returns `generations` for a clock that was set back to `now`: no generation may begin in the future.
function idempotency.begun_by(tag, text, now)
  local list = read(tag, text)
  for index = 1, #list do list[index].begun = math.min(list[index].begun, now) end
  read_tag = nil
  return spelled(list)
end

return idempotency
