-- What a campaign is warned of: marks of its counters, thresholds on what rose between them, and the warnings themselves.
--
-- A mark is what the counters of a campaign were: one a minute, the last MARKS_MAX. Nothing here reads or writes the
-- ledger; watch.lua does.
--
-- marks    of a campaign: format 1 · how many outcomes are watched 1 · these outcomes 2 each · marks (MARK), the oldest
--          first
-- warnings of a campaign: format 1 · those that are raised (FLAG)
-- Invariant: what cannot be read is taken for nothing, and written anew.

local warnings = {}

local sub = (('').sub) -- faster than calling it as a method
local FORMAT = '\1'
local MARKS_MAX, MARK_SECONDS, MARKS_SECONDS_MAX = 6, 60, 600
local PACE_SECONDS, PACE_SECONDS_MIN = 330, 60 -- the pace is that since the oldest mark in between
local LASTS_SECONDS_MAX = 2 ^ 40
local MINUTE = 60
local FIRST_SHARE = 9
local REASONS = { 'REFUSAL_SHARE', 'BUDGET_SPENT', 'BUDGET_GONE_SOON', 'CLAIMS_PER_MINUTE' }
local REFUSAL_SHARE, BUDGET_SPENT, BUDGET_GONE_SOON, CLAIMS_PER_MINUTE = 1, 2, 3, 4

-- reason 1 · outcome 2 (0: none) · raised at 4 (Unix seconds) · threshold 4 · budget 8 (minor units; 0: none) · two
-- numbers of 8, as they were when it was raised or at the last mark.
-- REFUSAL_SHARE: answers with the outcome and all answers, of a minute · BUDGET_SPENT: spent, and 0 ·
-- BUDGET_GONE_SOON: pace (minor units a minute), and when it is gone (Unix seconds) · CLAIMS_PER_MINUTE: claims, and 0
local FLAG, FLAG_BYTES = '>BI2I4I4I8I8I8', 35
-- taken at 4 (Unix seconds) · answers 6 · discount 7 (minor units) · claimed 6 · of each outcome that is watched: 6
local MARK, MARK_BYTES, OUTCOME_BYTES = '>I4I6I7I6', 23, 6
local ANSWERS, DISCOUNT, CLAIMED, FIRST_OUTCOME = 2, 3, 4, 5 -- places in a mark
warnings.ANSWERS, warnings.FIRST_OUTCOME = ANSWERS, FIRST_OUTCOME

-- Marks

-- Returns what is needed of the marks of a campaign: the newest, the one before, and the one that the pace is since, each
-- nil if there is none; and all of them as they are stored. There are none when they cannot be read, are of other
-- outcomes, or are too old.
function warnings.read_marks(packed, thresholds, seconds)
  local head, size, form, marks = thresholds.head, thresholds.mark_bytes, thresholds.mark, { packed = '' }
  local length = packed and #packed - #head or 0
  if length <= 0 or length % size ~= 0 or sub(packed, 1, #head) ~= head then return marks end
  local newest = { struct.unpack(form, packed, #packed - size + 1) }
  if newest[1] > seconds or seconds - newest[1] > MARKS_SECONDS_MAX then return marks end
  marks.newest, marks.packed = newest, sub(packed, #head + 1)
  if length > size then marks.before = { struct.unpack(form, packed, #packed - 2 * size + 1) } end
  if thresholds.gone_within == 0 then return marks end
  local since
  for at = #head + 1, #packed, size do
    local taken = struct.unpack('>I4', packed, at)
    if seconds - taken < PACE_SECONDS_MIN then break end
    since = at
    if seconds - taken <= PACE_SECONDS then break end
  end
  if since then marks.since = { struct.unpack(form, packed, since) } end
  return marks
end

-- Returns marks as they are stored, with one more; the oldest goes.
function warnings.pack_marks(marks, now, thresholds)
  return thresholds.head .. sub(marks.packed, -(MARKS_MAX - 1) * thresholds.mark_bytes)
    .. struct.pack(thresholds.mark, unpack(now))
end

-- How much a counter rose; 0 when it fell, because something was given back.
local function rise(now, mark, place) return math.max(now[place] - mark[place], 0) end

-- How much a counter rose in the last minute, as numerator and denominator; and whether a whole minute is known. The
-- minute before the newest mark counts in proportion, as if it had risen evenly.
local function in_a_minute(now, marks, place)
  local newest, before = marks.newest, marks.before
  if not newest then return 0, 1, false end
  local since, risen = now[1] - newest[1], rise(now, newest, place)
  if since >= MINUTE then return risen * MINUTE, since, true end
  local length = before and newest[1] - before[1] or 0
  if length < MINUTE then return risen, 1, false end
  return risen * length + rise(newest, before, place) * (MINUTE - since), length, true
end

-- Thresholds. Each function returns: at or above it · below 90 % of it · the two numbers of a warning. What is not known
-- yet is neither. A warning is cleared below 90 % only, so that it does not come and go; if the threshold or the budget
-- is another one than before, it is cleared below the threshold.

local function spent_share(now, budget, threshold)
  local spent = now[DISCOUNT]
  return spent * 10000 >= threshold * budget, spent * 100000 < threshold * 9 * budget, spent, 0
end

local function gone_soon(now, marks, budget, within)
  local since = marks.since
  if not since then return false, false, 0, 0 end
  local seconds, spent = now[1] - since[1], rise(now, since, DISCOUNT)
  if spent == 0 then return false, true, 0, 0 end
  local lasts = math.max(budget - now[DISCOUNT], 0) * seconds / spent
  return lasts <= within, lasts * 9 > within * 10, math.floor(spent * MINUTE / seconds),
    now[1] + math.floor(math.min(lasts, LASTS_SECONDS_MAX))
end

local function many_claims(now, marks, threshold)
  local claims, of, is_known = in_a_minute(now, marks, CLAIMED)
  return claims > threshold * of, is_known and claims * 10 < threshold * 9 * of, math.floor(claims / of), 0
end

local function refusal_share(now, marks, place, threshold, answers_min)
  local refused, of, is_known = in_a_minute(now, marks, place)
  local answers = in_a_minute(now, marks, ANSWERS)
  local is_over = answers >= answers_min * of and answers > 0 and refused * 10000 >= threshold * answers
  local is_below = answers * 10 < answers_min * 9 * of or refused * 100000 < threshold * 9 * answers
  return is_over, is_known and is_below, math.floor(refused / of), math.floor(answers / of)
end

-- Reads the thresholds, and what they need of the marks.
function warnings.read_thresholds(args, budget_spent, gone_within, claims)
  local shares, head, mark = {}, '', MARK
  for index = FIRST_SHARE, #args, 3 do
    local outcome, share, answers_min = args[index], tonumber(args[index + 1]), tonumber(args[index + 2])
    shares[#shares + 1] = { field = outcome, outcome = tonumber(outcome), share = share, answers_min = answers_min }
    head, mark = head .. struct.pack('>I2', tonumber(outcome)), mark .. 'I6'
  end
  return {
    shares = shares, budget_spent = budget_spent, gone_within = gone_within, claims = claims,
    head = FORMAT .. struct.pack('>B', #shares) .. head, mark = mark, mark_bytes = MARK_BYTES + OUTCOME_BYTES * #shares,
  }
end

-- Warnings

local function flag_key(reason, outcome) return reason * 65536 + outcome end

-- Returns the raised warnings of a campaign by their keys; none when they cannot be read.
function warnings.read_flags(packed)
  local flags = {}
  if not packed or sub(packed, 1, 1) ~= FORMAT or (#packed - 1) % FLAG_BYTES ~= 0 then return flags end
  for at = 2, #packed, FLAG_BYTES do
    local reason, outcome, raised_at, threshold, budget = struct.unpack(FLAG, packed, at)
    if not REASONS[reason] then return {} end
    flags[flag_key(reason, outcome)] = {
      reason = reason, outcome = outcome, raised_at = raised_at, threshold = threshold, budget = budget,
      packed = sub(packed, at, at + FLAG_BYTES - 1),
    }
  end
  return flags
end

-- Returns warnings as they are stored; empty when there are none.
function warnings.pack_flags(packed) return #packed > 0 and FORMAT .. table.concat(packed) or '' end

local function raised_event(number, reason, outcome, threshold, first, second)
  return cmsgpack.pack({ 'warning_raised', '', number, REASONS[reason], outcome, threshold, first, second })
end

function warnings.cleared_event(number, flag)
  return cmsgpack.pack({ 'warning_cleared', '', number, REASONS[flag.reason], flag.outcome })
end

-- Decides one warning of a campaign. look: what is known of the campaign (decide_campaign in watch.lua) · budget: what
-- the threshold is of, 0 for none · over, below, first, second: see above
local function decide_flag(look, reason, outcome, threshold, budget, over, below, first, second)
  local key = flag_key(reason, outcome)
  local flag = look.flags[key]
  local is_same = flag and flag.threshold == threshold and flag.budget == budget
  if not over and not (is_same and not below) or not flag and not look.may_raise then return end
  local packed = struct.pack(FLAG, reason, outcome, flag and flag.raised_at or look.now[1], threshold, budget, first,
    second)
  look.kept[key] = true
  look.packed[#look.packed + 1] = packed
  if not flag then
    look.changes[#look.changes + 1] = { 1, packed, raised_event(look.number, reason, outcome, threshold, first, second) }
  elseif not is_same then
    look.is_changed = true
  end
end

function warnings.decide(look, thresholds, budget)
  local now, marks = look.now, look.marks
  if budget and thresholds.budget_spent > 0 then
    local threshold = thresholds.budget_spent
    decide_flag(look, BUDGET_SPENT, 0, threshold, budget, spent_share(now, budget, threshold))
  end
  if budget and thresholds.gone_within > 0 then
    local within = thresholds.gone_within
    decide_flag(look, BUDGET_GONE_SOON, 0, within, budget, gone_soon(now, marks, budget, within))
  end
  if thresholds.claims > 0 then
    decide_flag(look, CLAIMS_PER_MINUTE, 0, thresholds.claims, 0, many_claims(now, marks, thresholds.claims))
  end
  for index, of in ipairs(thresholds.shares) do
    decide_flag(look, REFUSAL_SHARE, of.outcome, of.share, 0,
      refusal_share(now, marks, FIRST_OUTCOME - 1 + index, of.share, of.answers_min))
  end
end

-- Whether it is time for another mark. Only for the share of a budget that is spent, there need be none; but with each
-- mark, the numbers of a warning are written anew.
function warnings.needs_mark(look, thresholds, budget)
  local newest = look.marks.newest
  if newest and look.now[1] - newest[1] < MARK_SECONDS then return false end
  return #look.packed > 0 or thresholds.claims > 0 or #thresholds.shares > 0 or budget and thresholds.gone_within > 0
end

return warnings
