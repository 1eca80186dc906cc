-- watch: warns early of a program's open campaigns: of many refusals, of a budget that runs out, of many claims.
-- warnings: reads what it warns of now.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua (warnings only reads: its ARGV[4] is its own)
-- watch     ARGV[5] version of the rules that the thresholds are of
--           Thresholds, 0 for none: ARGV[6] share of the budget (basis points) · [7] budget gone within (seconds) ·
--           [8] claims per minute · [9…] triples: outcome (its number in the contract) · share of the answers (basis
--           points) · how many answers there must be
--           Replies  head · stale (other rules are in force) · the changes (rules.lua)
--                    head · early (this interval's work is done)
--                    head · done · campaigns looked at · 1 if there is more to do at once, else 0 ·
--                    {1 raised or 0 cleared, campaign, the warning (FLAG), …}
-- warnings  ARGV[4] campaign (0: all)
--           Replies {campaign, format 1, warnings (FLAG), …}
-- Events    warning_raised: empty · campaign · name of the reason · outcome (0: none) · threshold · two numbers (FLAG)
--           warning_cleared: empty · campaign · name of the reason · outcome
-- Invariant: a warning is raised by one event and cleared by one event, however many servers call; nobody is refused.
--            A call looks at as many campaigns as ROOM allows, in about a millisecond; in an interval of INTERVAL_MS there
--            are CALLS_MAX such calls at most. It writes only when a warning or a mark is new.
--
-- The hash `marks` has the marks of each open campaign, and expires when nobody watches. The hash `warnings` has what each
-- campaign is warned of. Both by the campaign's number, see warnings.lua.
--
-- Which campaigns are not over, and whose turn it is, is kept in the memory of the library alone: it can be found again, and
-- writing it would cost a write every few seconds.

local watch = {}

local INTERVAL_MS, CALLS_MAX = 4000, 4
local ROOM, SEARCHED = 150, 40 -- of a call; see decide_campaign
local LISTED_MAX = 5000 -- campaigns in memory; others are found again by the search
local MARKS_EXPIRE_MS = 600000
local WARNED_MAX = 500 -- campaigns with warnings; others are not warned of until some are cleared
local ANSWERS, FIRST_OUTCOME = warnings.ANSWERS, warnings.FIRST_OUTCOME
local FIELDS = { 'version', 'ends_at', 'archive', 'paused', 'redeemed', 'discount', 'claimed', 'limit_budget' }

-- Whose turn it is, by program.
local turns, turns_count = {}, 0
local TURNS_MAX = 256

local function turn_of(call)
  local turn = turns[call.tag]
  if turn and turn.epoch == call.epoch and turn.began <= call.now then return turn end
  if not turn then
    if turns_count >= TURNS_MAX then turns, turns_count = {}, 0 end
    turns_count = turns_count + 1
  end
  -- began: of the interval, Unix ms · calls: in this interval · left: listed campaigns that have their turn in it still ·
  -- list: the numbers of campaigns that are not over · place: who had the last turn · last: the highest number that was seen ·
  -- searched: the search has come down to it
  turn = {
    epoch = call.epoch, began = 0, calls = 0, left = 0, list = {}, is_listed = {}, place = 0, last = false, searched = 0,
  }
  turns[call.tag] = turn
  return turn
end

-- Campaigns

local function number_at(values, index)
  return keys.whole(values[index] or 0) or error('campaign record whose ' .. FIELDS[index] .. ' is no number')
end

-- The counters of a campaign as a mark; and how many outcomes have refused its coupons.
local function decide_mark(call, number, values, thresholds)
  local redeemed, discount, claimed = number_at(values, 5), number_at(values, 6), number_at(values, 7)
  local now, kinds = { call.seconds, redeemed + claimed, discount, claimed }, 0
  if #thresholds.shares > 0 then
    local flat, counts = redis.call('HGETALL', keys.refused(call.tag, number)), {}
    kinds = #flat / 2
    for index = 1, #flat, 2 do
      local count = keys.whole(flat[index + 1]) or error('a count of refusals that is no number')
      counts[flat[index]], now[ANSWERS] = count, now[ANSWERS] + count
    end
    for index, of in ipairs(thresholds.shares) do now[FIRST_OUTCOME - 1 + index] = counts[of.field] or 0 end
  end
  return now, kinds
end

-- Adds what changes of a campaign to the plan, once nothing can fail any more.
local function add(plan, number, stored, marks, warned, changes)
  local field = keys.number_text(number)
  if marks == '' and stored[1] then plan.dead_marks[#plan.dead_marks + 1] = field end
  if marks and marks ~= '' then
    plan.marks[#plan.marks + 1] = field
    plan.marks[#plan.marks + 1] = marks
  end
  if warned == '' and stored[2] then
    plan.dead_warnings[#plan.dead_warnings + 1], plan.warned = field, plan.warned - 1
  elseif warned and warned ~= '' then
    plan.warnings[#plan.warnings + 1] = field
    plan.warnings[#plan.warnings + 1] = warned
    if not stored[2] then plan.warned = plan.warned + 1 end
  end
  for _, change in ipairs(changes) do
    plan.found[#plan.found + 1] = change[1]
    plan.found[#plan.found + 1] = number
    plan.found[#plan.found + 1] = change[2]
    plan.events[#plan.events + 1] = change[3]
  end
end

-- Adds to the changes that warnings are cleared: all that are not kept.
local function clear(number, flags, kept, changes)
  for key, flag in pairs(flags) do
    if not kept[key] then changes[#changes + 1] = { 0, flag.packed, warnings.cleared_event(number, flag) } end
  end
end

-- Decides about one campaign; returns whether it stays listed, because it is open or paused, and how much room that
-- took. It raises when a counter cannot be read: then nothing is warned of.
local function decide_campaign(call, number, thresholds, plan)
  local field = keys.number_text(number)
  local values = redis.call('HMGET', keys.campaign(call.tag, number), unpack(FIELDS))
  local stored = { redis.call('HGET', plan.marks_key, field), redis.call('HGET', plan.warnings_key, field) }
  local flags, changes = warnings.read_flags(stored[2]), {}
  local is_over = not values[1] or values[3] or number_at(values, 2) <= call.now
  if is_over or values[4] then
    clear(number, flags, {}, changes)
    add(plan, number, stored, '', '', changes)
    return not is_over, 1
  end
  local now, kinds = decide_mark(call, number, values, thresholds)
  local look = {
    number = number, now = now, marks = warnings.read_marks(stored[1], thresholds, call.seconds), flags = flags, kept = {},
    packed = {}, changes = changes, is_changed = false, may_raise = stored[2] or plan.warned < WARNED_MAX,
  }
  warnings.decide(look, thresholds, values[8] and number_at(values, 8))
  clear(number, flags, look.kept, changes)
  local marks, warned
  if warnings.needs_mark(look, thresholds, values[8]) then
    marks = warnings.pack_marks(look.marks, now, thresholds)
  end
  if marks or #changes > 0 or look.is_changed then
    local packed = warnings.pack_flags(look.packed)
    if packed ~= (stored[2] or '') then warned = packed end
  end
  add(plan, number, stored, marks, warned, changes)
  return true, 2 + kinds / 8
end

-- Whose turn it is

-- Whether there is something to do: an interval begins, or not all campaigns had their turn in this one.
local function has_turn(call, turn)
  return call.now - turn.began >= INTERVAL_MS or turn.left > 0 and turn.calls < CALLS_MAX
end

-- Looks at a campaign, unless this call did already; returns whether it stays listed.
local function decide_one(call, number, thresholds, plan)
  local stays = plan.seen[number]
  if stays ~= nil then return stays end
  local ok, answer, spent = pcall(decide_campaign, call, number, thresholds, plan)
  stays = ok and answer
  plan.seen[number], plan.room, plan.looked_at = stays, plan.room - (ok and spent or 1), plan.looked_at + 1
  return stays
end

local function list(turn, number)
  if not turn.is_listed[number] and #turn.list < LISTED_MAX then
    turn.list[#turn.list + 1], turn.is_listed[number] = number, true
  end
end

-- Looks for campaigns that are not over and not listed: the new ones first, then some of all others, from the newest down.
local function decide_search(call, turn, last, thresholds, plan)
  for _ = 1, math.min(SEARCHED, last) do
    if plan.room <= 0 then return end
    local number
    if turn.last and turn.last < last then
      turn.last = turn.last + 1
      number = turn.last
    else
      turn.last = last
      if turn.searched <= 0 then turn.searched = last end
      number, turn.searched = turn.searched, turn.searched - 1
    end
    if decide_one(call, number, thresholds, plan) then list(turn, number) end
  end
end

-- Looks at the listed campaigns, each once in an interval, as long as there is room.
local function decide_listed(call, turn, thresholds, plan)
  while turn.left > 0 and plan.room > 0 do
    turn.left = turn.left - 1
    turn.place = turn.place >= #turn.list and 1 or turn.place + 1
    local number = turn.list[turn.place]
    if not decide_one(call, number, thresholds, plan) then
      local last = #turn.list
      turn.list[turn.place] = turn.list[last]
      turn.list[last], turn.is_listed[number], turn.place = nil, nil, turn.place - 1
    end
  end
end

-- Lists the campaigns with warnings. Only what is in the memory of the library is lost when the ledger starts.
local function list_warned(turn, warned)
  for index = 1, #warned, 2 do
    local number = keys.whole(warned[index])
    if number then list(turn, number) end
  end
end

local function decide(call, turn, thresholds)
  local marks_key, warnings_key = keys.marks(call.tag), keys.warnings(call.tag)
  local plan = {
    marks_key = marks_key, warnings_key = warnings_key, room = ROOM, looked_at = 0, seen = {}, found = {}, events = {},
    marks = {}, dead_marks = {}, warnings = {}, dead_warnings = {}, warned = redis.call('HLEN', warnings_key),
  }
  redis.call('HLEN', marks_key) -- raises if it is no hash
  local last = keys.whole(redis.call('HGET', keys.ledger(call.tag), 'campaigns') or 0) or 0
  if call.now - turn.began >= INTERVAL_MS then
    if turn.began == 0 then list_warned(turn, redis.call('HGETALL', warnings_key)) end
    turn.began, turn.calls, turn.left = call.now, 0, #turn.list
    decide_search(call, turn, last, thresholds, plan)
  end
  turn.calls = turn.calls + 1
  decide_listed(call, turn, thresholds, plan)
  return plan
end

local function apply(call, plan)
  if #plan.marks + #plan.dead_marks + #plan.warnings + #plan.dead_warnings == 0 then return end
  frame.plan_nothing()
  for _, event in ipairs(plan.events) do call.events[#call.events + 1] = event end
  frame.commit(call)
  if #plan.marks > 0 then
    redis.call('HSET', plan.marks_key, unpack(plan.marks))
    redis.call('PEXPIREAT', plan.marks_key, call.now + MARKS_EXPIRE_MS)
  end
  if #plan.dead_marks > 0 then redis.call('HDEL', plan.marks_key, unpack(plan.dead_marks)) end
  if #plan.warnings > 0 then redis.call('HSET', plan.warnings_key, unpack(plan.warnings)) end
  if #plan.dead_warnings > 0 then redis.call('HDEL', plan.warnings_key, unpack(plan.dead_warnings)) end
end

function watch.call(key_names, args)
  local version, budget_spent, gone_within = tonumber(args[5]), tonumber(args[6]), tonumber(args[7])
  local claims = tonumber(args[8])
  local call = frame.begin_writing(key_names, args)
  if version ~= call.rules then return { frame.head(call), 'stale', rules.changes(call, version) } end
  local turn = turn_of(call)
  if not has_turn(call, turn) then return { frame.head(call), 'early' } end
  local plan = decide(call, turn, warnings.read_thresholds(args, budget_spent, gone_within, claims))
  apply(call, plan)
  return { frame.head(call), 'done', plan.looked_at, has_turn(call, turn) and 1 or 0, plan.found }
end

-- Adds the events of a program whose rules have no thresholds any more: all warnings are cleared.
function watch.decide_no_thresholds(call)
  local flat = redis.pcall('HGETALL', keys.warnings(call.tag)) -- empty when it is no hash
  for index = 1, #flat, 2 do
    local number = keys.whole(flat[index])
    if number then
      for _, flag in pairs(warnings.read_flags(flat[index + 1])) do
        call.events[#call.events + 1] = warnings.cleared_event(number, flag)
      end
    end
  end
end

function watch.read(key_names, args)
  local number = tonumber(args[4])
  local call = frame.begin(key_names, args)
  local key = keys.warnings(call.tag)
  if number == 0 then return redis.call('HGETALL', key) end
  local field = keys.number_text(number)
  local packed = redis.call('HGET', key, field)
  return packed and { field, packed } or {}
end

return watch
