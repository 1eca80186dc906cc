-- rules_since, rules_page, define_rules and change_list: read and change the rules of a program (rules.lua).
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua (the first two only read: their ARGV[4] is their own)
-- rules_since  ARGV[4] a version
--              Replies version in force · changes since that version (rules.lua). They may reach less far than the version in
--              force: then ask again for those since the version that they reach.
-- rules_page   ARGV[4] a cursor ('0' begins) · [5] about how many entries
--              Replies version in force · version of the definition · the definition · the next cursor ('0': that was all) · {key, value, …}. An entry
--              may come twice, and one that changes meanwhile may be missing: so ask for the changes since the version
--              that came with the first page.
-- define_rules replaces the definition.
--              ARGV[5] the principal · [6] the version of the definition that is to be replaced (`changed`) · [7] the
--              definition · [8] its checks (rules.lua) · [9] what was changed, a word for the event · [10] SHA-256 of the
--              definition (hexadecimal) · [11] 1 if it has thresholds of warnings; else all warnings are cleared
--              Replies head · version in force; or head · conflict (another definition is in force)
--              Event rules_changed: principal · version · the word · definition (empty when it is larger than 4 KiB) ·
--              its SHA-256; warning_cleared, see watch.lua
-- change_list  adds, changes and removes entries, all of them or none.
--              ARGV[5] the principal · [6] how many entries there may be · [7] reason, for the event · [8] the version
--              that must be in force (empty: any) · [9…] pairs of key and value (an empty value removes), each key once
--              Replies head · version in force · entries now · how many were removed; or head · full · entries now; or
--              head · conflict (another version is in force)
--              Event list_changed: principal · version · reason · the keys, or how many when they are longer than 4 KiB
-- Invariant: every change raises the version by one; a removed entry stays in the log, so that every server learns of it.

local rule_changes = {}

local EVENT_BYTES_MAX = 4096
local FIRST_ENTRY = 9
-- So many changed entries a server may have missed and still gets one by one. The log has each entry once.
local LOGGED_MAX = 200000

function rule_changes.since(key_names, args)
  local since = tonumber(args[4])
  local call = frame.begin(key_names, args)
  return { keys.number_text(call.rules), rules.changes(call, since, true) }
end

function rule_changes.page(key_names, args)
  local cursor, count = args[4], tonumber(args[5])
  local call = frame.begin(key_names, args)
  local found = redis.call('HSCAN', keys.listed(call.tag), cursor, 'COUNT', count)
  local values = redis.call('HMGET', keys.rules(call.tag), 'changed', 'definition')
  return { keys.number_text(call.rules), values[1] or '0', values[2] or '', found[1], found[2] }
end

function rule_changes.define(key_names, args)
  local principal, expected, definition = args[5], tonumber(args[6]), args[7]
  local checks, what, digest, has_thresholds = args[8], args[9], args[10], args[11] == '1'
  local call = frame.begin_writing(key_names, args)
  local key = keys.rules(call.tag)
  local changed = tonumber(redis.call('HGET', key, 'changed') or 0)
  if changed ~= expected then return { frame.head(call), 'conflict' } end
  rules.read_checks(checks) -- raises now rather than at the next order
  local version = keys.number_text(call.rules + 1)
  frame.plan_nothing()
  frame.plan(keys.ledger(call.tag), 'rules', version)
  frame.plan(key, 'changed', version)
  frame.plan(key, 'definition', definition)
  frame.plan(key, 'checks', checks)
  local in_event = #definition <= EVENT_BYTES_MAX and definition or ''
  call.events[1] = cmsgpack.pack({ 'rules_changed', principal, call.rules + 1, what, in_event, digest })
  if not has_thresholds then watch.decide_no_thresholds(call) end
  frame.commit(call)
  if not has_thresholds then redis.call('UNLINK', keys.marks(call.tag), keys.warnings(call.tag)) end
  return { frame.head(call), version }
end

function rule_changes.change_list(key_names, args)
  local principal, entries_max, reason, expected = args[5], tonumber(args[6]), args[7], tonumber(args[8])
  local call = frame.begin_writing(key_names, args)
  if expected and expected ~= call.rules then return { frame.head(call), 'conflict' } end
  local listed, log, hash = keys.listed(call.tag), keys.listed_log(call.tag), keys.rules(call.tag)
  local total, removed, named, bytes = redis.call('HLEN', listed), 0, {}, 0
  local kept, gone, logged = {}, {}, {}
  local version = keys.number_text(call.rules + 1)
  redis.call('HLEN', hash) -- raises if it is no hash
  for index = FIRST_ENTRY, #args, 2 do
    local key, value = args[index], args[index + 1]
    local is_there = redis.call('HEXISTS', listed, key) == 1
    if value == '' then
      if is_there then
        removed, total = removed + 1, total - 1
        gone[#gone + 1] = key
      end
    else
      if not is_there then total = total + 1 end
      kept[#kept + 1] = key
      kept[#kept + 1] = value
    end
    if value ~= '' or is_there then
      logged[#logged + 1] = version
      logged[#logged + 1] = key
      named[#named + 1] = key
      bytes = bytes + #key
    end
  end
  if total > entries_max and #kept > 0 then
    return { frame.head(call), 'full', keys.number_text(redis.call('HLEN', listed)) }
  end
  if #logged == 0 then
    return { frame.head(call), keys.number_text(call.rules), keys.number_text(total), '0' }
  end
  -- Of the log, the oldest entries go; a server that knows no later version reads everything anew.
  local excess = redis.call('ZCARD', log) + #logged / 2 - LOGGED_MAX
  local floor
  if excess > 0 then floor = redis.call('ZRANGEBYSCORE', log, '-inf', '+inf', 'WITHSCORES', 'LIMIT', excess - 1, 1)[2] end
  frame.plan_nothing()
  frame.plan(keys.ledger(call.tag), 'rules', version)
  if floor then frame.plan(hash, 'floor', floor) end
  local event = cmsgpack.pack({ 'list_changed', principal, call.rules + 1, reason,
    bytes <= EVENT_BYTES_MAX and named or #named })
  frame.commit(call, event)
  if #kept > 0 then redis.call('HSET', listed, unpack(kept)) end
  if #gone > 0 then redis.call('HDEL', listed, unpack(gone)) end
  redis.call('ZADD', log, unpack(logged))
  if floor then redis.call('ZREMRANGEBYSCORE', log, '-inf', floor) end
  return { frame.head(call), version, keys.number_text(total), keys.number_text(removed) }
end

return rule_changes
