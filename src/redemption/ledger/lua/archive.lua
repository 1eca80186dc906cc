-- archive and archive_step: remove the records of a campaign that is long over, some at a time. Its totals stay.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5]   the principal · [6] campaign, and for `archive` also:
-- ARGV[7]   version expected · [8] definition (archived) · [9] return window (ms)
-- Replies  archive       head · version; or head · a word: gone (no such campaign), conflict (another version is in
--                        force), early (then from when on it is possible, Unix ms)
--          archive_step  head · places done · places in all; or head · gone (archiving has not begun).
--                        A place is one key that may have records of the campaign.
-- Events   archiving: principal · campaign · version; archived: principal · campaign
-- Invariant: no record of the campaign is written while the steps remove them, or later. No coupon is held by then.
--            `archive` changes the version, so nothing is redeemed, claimed or issued any more; revoke and codes check the field `archive`.
--            A step stores how far it came in the same call, so the next step may come at any time.

local archive = {}

-- Keys that one call removes, and codes that it reads, at most: orders wait for it, about a millisecond.
local ARCHIVED_AT_ONCE = 256
-- A coupon that is held when the campaign ends can be used later: a hold lasts up to a day, and for another day the coupon
-- can be taken again.
local USED_AFTER_END_MS = 2 * 86400000
local CODE_BUCKETS = 16384

-- What is removed, in this order. Each part has a number of keys; a position is the number of a key in its part. The
-- field `archive` of a campaign has the name of the part and the next position in it, or 'done'. A new part must go to
-- the end.
local PARTS = {
  { name = 'used', key = keys.used_block },
  { name = 'customer', key = keys.customer_bucket },
  { name = 'claims', key = keys.claims_bucket },
  { name = 'revoked', key = keys.revoked },
  { name = 'revoked_customers', key = keys.revoked_customers },
  { name = 'code', key = keys.code_bucket },
  { name = 'wheel', key = keys.wheel },
  { name = 'returned', key = keys.returned_block },
}

function archive.begin(key_names, args)
  local principal, number, expected, definition = args[5], tonumber(args[6]), tonumber(args[7]), args[8]
  local return_window = tonumber(args[9])
  local call = frame.begin_writing(key_names, args)
  local key = keys.campaign(call.tag, number)
  local values = redis.call('HMGET', key, 'version', 'ends_at', 'open_until', 'name', 'held')
  if not values[1] then return { frame.head(call), 'gone' } end
  local version = tonumber(values[1])
  if version ~= expected then return { frame.head(call), 'conflict' } end
  local last_use = math.max(tonumber(values[2]), tonumber(values[3] or 0))
  if values[5] then last_use = last_use + USED_AFTER_END_MS end -- coupons of it were held
  local last_hold = redis.call('ZREVRANGEBYSCORE', keys.wheel(call.tag, number), '+inf', '-inf', 'WITHSCORES',
    'LIMIT', 0, 1)[2] or 0
  local possible_at = math.max(last_use + return_window, tonumber(last_hold) * 1000)
  if call.now < possible_at then return { frame.head(call), 'early', keys.number_text(possible_at) } end
  frame.plan_nothing()
  frame.plan(key, 'version', keys.number_text(version + 1))
  frame.plan(key, 'definition', definition)
  frame.plan(key, 'archive', 'used 0')
  call.events[2] = cmsgpack.pack({ 'archiving', principal, number, version + 1 })
  local event = define.state_changed(principal, number, version + 1, values[4] or '', 'ARCHIVED')
  frame.commit(call, event)
  return { frame.head(call), keys.number_text(version + 1) }
end

-- Returns how far the archiving of a campaign is: the part (one more than there are when all is done), the position in
-- it, and the sizes of all parts; nil if it has not begun.
local function archive_of(call, number)
  local values = redis.call('HMGET', keys.campaign(call.tag, number), 'archive', 'issued', 'width', 'customer_buckets',
    'codes', 'reversed')
  if not values[1] then return nil end
  local blocks, buckets = math.ceil(values[2] / values[3]), tonumber(values[4])
  local way = { part = #PARTS + 1, position = 0,
    sizes = { blocks, buckets, buckets, 1, 1, values[5] and CODE_BUCKETS or 0, 1, values[6] and blocks or 0 } }
  if values[1] == 'done' then return way end
  local name, position = string.match(values[1], '^(%S+) (%d+)$')
  for index, part in ipairs(PARTS) do
    if part.name == name then way.part = index end
  end
  if way.part > #PARTS then error('archive of an unknown part: ' .. values[1]) end
  way.position = tonumber(position)
  return way
end

-- Returns the codes of a campaign in a bucket, at most `most`; how many codes the bucket has in all; and whether these
-- were the last ones of the campaign in it.
local function codes_in(key, number, most)
  local flat, found = redis.call('HGETALL', key), {}
  for index = 1, #flat, 2 do
    if codes.campaign_of(flat[index + 1]) == number then
      if #found == most then return found, #flat / 2, false end
      found[#found + 1] = flat[index]
    end
  end
  return found, #flat / 2, true
end

-- Moves `way` forward by as much as one call may remove. Returns the keys to remove, and the fields to remove by key.
local function decide_step(call, number, way)
  local dead, fields, room = {}, {}, ARCHIVED_AT_ONCE
  while way.part <= #PARTS and room > 0 do
    local part = PARTS[way.part]
    if way.position >= way.sizes[way.part] then
      way.part, way.position = way.part + 1, 0
    elseif part.name == 'code' then
      local key = part.key(call.tag, way.position)
      local found, looked_at, last = codes_in(key, number, ARCHIVED_AT_ONCE)
      if #found > 0 then fields[key] = found end
      if not last then break end
      way.position, room = way.position + 1, room - 1 - looked_at
    else
      dead[#dead + 1] = part.key(call.tag, number, way.position)
      way.position, room = way.position + 1, room - 1
    end
  end
  return dead, fields
end

-- Returns how many places are done, and how many there are.
local function progress(way)
  local total, passed = 0, way.position
  for index, size in ipairs(way.sizes) do
    total = total + size
    if index < way.part then passed = passed + size end
  end
  return keys.number_text(passed), keys.number_text(total)
end

function archive.step(key_names, args)
  local principal, number = args[5], tonumber(args[6])
  local call = frame.begin_writing(key_names, args)
  local way = archive_of(call, number)
  if not way then return { frame.head(call), 'gone' } end
  if way.part > #PARTS then return { frame.head(call), progress(way) } end
  local dead, fields = decide_step(call, number, way)
  local done = way.part > #PARTS
  local has_marks = done and redis.pcall('HEXISTS', keys.marks(call.tag), keys.number_text(number)) == 1
  frame.plan_nothing()
  frame.plan(keys.campaign(call.tag, number), 'archive',
    done and 'done' or PARTS[way.part].name .. ' ' .. keys.number_text(way.position))
  local event = done and cmsgpack.pack({ 'archived', principal, number })
  frame.commit(call, event)
  if #dead > 0 then redis.call('UNLINK', unpack(dead)) end
  if has_marks then redis.call('HDEL', keys.marks(call.tag), keys.number_text(number)) end
  for key, found in pairs(fields) do redis.call('HDEL', key, unpack(found)) end
  return { frame.head(call), progress(way) }
end

return archive
