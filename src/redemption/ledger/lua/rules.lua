-- The rules of a program against abuse: which version is in force, and what changed since another version.
--
-- Rules are a definition, which the servers read, and a list of entries (who is denied or exempt). Servers hold both in
-- memory. Every item says by which version it was judged; if that is not the one in force, the server gets the changes
-- and judges again. So a change is in force for the next decision, and costs the decisions nothing.
--
-- The header's field `rules` is the version: every change of the definition or of an entry raises it by one; missing: 0,
-- the program never had rules. The hash `rules` has `definition`, `changed` (the version of its last change), `checks`
-- (what velocity.lua needs of it) and `floor`: the log of changed entries is complete for versions above it.
-- The hash `listed` has the entries, which only servers read; the sorted set `listed_log` has the version of the last
-- change of each entry, also of removed ones.

local rules = {}

local KINDS = { RATE = 1, ACCOUNTS = 2 }
local CHECK = '>I4BBI4I8I8I8'
local CHECK_BYTES = 34
local CHANGED_MAX = 1000 -- entries in one reply, or those of one version

-- checks: for each rule: id 4 · kind 1 · flags 1 (1: shadow, 2: counts approvals only) · campaign 4 (0: all) ·
-- of a rate: interval 8 · tolerance 8 (both in microseconds) · how long a state can matter 8 (ms)
-- of accounts: customers 8 · window 8 (seconds) · how long a state can matter 8 (ms)
function rules.read_checks(packed)
  local list = {}
  for at = 1, #packed, CHECK_BYTES do
    local id, kind, flags, campaign, first, second, life_ms = struct.unpack(CHECK, packed, at)
    list[#list + 1] = {
      id = id, is_rate = kind == KINDS.RATE, shadow = flags % 2 == 1, approvals = flags >= 2, campaign = campaign,
      interval = first, tolerance = second, customers = first, window = second, life_ms = life_ms,
    }
  end
  return list
end

-- The checks of each program, as they were last read: reading them again would cost every call.
local read, read_count = {}, 0
local READ_MAX = 256

-- Returns the checks of the rules in force, in their order.
function rules.checks(call)
  local known = read[call.tag]
  if known and known.version == call.rules and known.epoch == call.epoch then return known.list end
  local list = rules.read_checks(redis.call('HGET', keys.rules(call.tag), 'checks') or '')
  if not known then
    if read_count >= READ_MAX then read, read_count = {}, 0 end
    read_count = read_count + 1
  end
  read[call.tag] = { version = call.rules, epoch = call.epoch, list = list }
  return list
end

-- Whether a judgement is outdated, because it was made by other rules than those in force.
function rules.is_stale(call, version)
  if version == call.rules then return false end
  if not call.rules_since or version < call.rules_since then call.rules_since = version end
  return true
end

-- The names of the entries that changed after a version, in rising order of their versions, and the version that they
-- reach: about CHANGED_MAX of them, those of a version together (a call changes at most 2,000).
local function changed_names(call, since)
  local log = keys.listed_log(call.tag)
  local found = redis.call('ZRANGEBYSCORE', log, '(' .. keys.number_text(since), '+inf', 'WITHSCORES', 'LIMIT', 0,
    CHANGED_MAX + 1)
  local cut = #found > 2 * CHANGED_MAX and found[#found] or nil -- more entries of this version may follow
  local names, reached = {}, nil
  for index = 1, #found, 2 do
    if found[index + 1] ~= cut then names[#names + 1], reached = found[index], found[index + 1] end
  end
  if not cut then return names, call.rules end
  if reached then return names, tonumber(reached) end
  return redis.call('ZRANGEBYSCORE', log, cut, cut), tonumber(cut)
end

-- Changes since a version: C · the version that they reach 4 · of the definition: the version of its last change 4 (0:
-- it has not changed), length 4, text · of each entry that changed: length 1, key · length 2, value (empty: removed).
-- Or R · version in force 4: they cannot be sent. With may_reach_less, they may end at an earlier version than the one
-- in force, and R says that the log does not reach back so far, so everything must be read. Without it, R also says
-- that there are too many for one reply.
function rules.changes(call, since, may_reach_less)
  local key, reload = keys.rules(call.tag), struct.pack('>c1I4', 'R', call.rules)
  local values = redis.call('HMGET', key, 'changed', 'floor', 'definition')
  local changed, floor = tonumber(values[1] or 0), tonumber(values[2] or 0)
  if since < floor or since > call.rules then return reload end
  local names, reached = changed_names(call, since)
  if reached < call.rules and not may_reach_less then return reload end
  local definition = changed > since and changed <= reached and values[3] or false
  local parts = {
    struct.pack('>c1I4I4I4', 'C', reached, definition and changed or 0, definition and #definition or 0),
    definition or '',
  }
  if #names > 0 then
    local found = redis.call('HMGET', keys.listed(call.tag), unpack(names))
    for index, name in ipairs(names) do
      local value = found[index] or ''
      parts[#parts + 1] = struct.pack('>B', #name) .. name .. struct.pack('>I2', #value) .. value
    end
  end
  return table.concat(parts)
end

-- Adds to the list of changed definitions (campaigns.lua) what changed in the rules, as campaign 0. It must not raise:
-- items of the call are written. What cannot be read, the server meets when it reads everything anew.
function rules.add_changes(call, found)
  if not call.rules_since then return end
  local ok, changes = pcall(rules.changes, call, call.rules_since)
  found[#found + 1] = 0
  found[#found + 1] = call.rules
  found[#found + 1] = ok and changes or struct.pack('>c1I4', 'R', call.rules)
end

return rules
