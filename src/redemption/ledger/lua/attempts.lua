-- exchange_attempts and attempts: what subjects tried in vain, reported by each server process, minute by minute.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua (attempts only reads: its ARGV[4] is its own)
-- exchange_attempts  stores the report of one process, and tells it those of the others.
--          ARGV[5]  the process, a name of its own · [6] minute (since 1970) · [7] its report about that minute
--          Replies head · what `attempts` replies of the last two minutes
-- attempts ARGV[4] of how many minutes, the present one included
--          Replies the version of the rules, then minute, process, report, …
-- No event: reports are of the last hour only, and each replaces the one before.
-- Invariant: a process has one report for each minute; reports go by themselves after an hour.

local attempts = {}

local MINUTE_MS = 60000
local KEPT_MS = 61 * MINUTE_MS
local TOLD = 2 -- minutes: a report about a minute may come when the next one has begun

local function reports(call, minutes)
  local found, present = { keys.number_text(call.rules) }, math.floor(call.now / MINUTE_MS)
  for minute = present, present - minutes + 1, -1 do
    local flat = redis.call('HGETALL', keys.attempts(call.tag, minute))
    for index = 1, #flat, 2 do
      found[#found + 1] = keys.number_text(minute)
      found[#found + 1] = flat[index]
      found[#found + 1] = flat[index + 1]
    end
  end
  return found
end

function attempts.exchange(key_names, args)
  local process, minute, report = args[5], tonumber(args[6]), args[7]
  local call = frame.begin_writing(key_names, args)
  local key = keys.attempts(call.tag, minute)
  local told = reports(call, TOLD)
  redis.call('HLEN', key) -- raises if it is no hash
  frame.plan_nothing()
  frame.plan(key, process, report)
  frame.commit(call)
  redis.call('PEXPIREAT', key, minute * MINUTE_MS + KEPT_MS)
  return { frame.head(call), told }
end

function attempts.read(key_names, args)
  local minutes = tonumber(args[4])
  local call = frame.begin(key_names, args)
  return reports(call, minutes)
end

return attempts
