-- batch: decides many items in one call, one after the other. An item either makes all its writes or none.
-- batch_without_writes: the same while the ledger is full. It answers what needs no write: requests that are remembered,
-- and refusals.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5…] the items: a byte that names the operation (see `operations`), then what that operation reads
-- Replies  head · {number, version, definition, …} of campaigns whose version was not the server's, and of number 0, the
--          version and the changes of the program's rules (rules.lua), if theirs was not · one string for each item:
--          S outdated, judged by another version of a campaign or of the rules · C outdated, judged for another moment ·
--          V exceeds rules, then which (velocity.lua), and then its reply ·
--          E failed, and why (for the log) · F it would have to be written (without_writes) · else as the operation's
--          file says
-- Events   as the operation's file says
-- Invariant: an item that fails has written nothing, and the other items are decided as without it.

local batch = {}

local FIRST_ITEM, FIRST_REPLY = 5, 3

-- The `decide` of an operation gets the call, the whole item, and the set `stale`, to which it adds the numbers of
-- campaigns whose version was not the server's. It returns the reply; and true when `apply` is to be called.
local operations = { [82] = orders, [72] = orders, [75] = orders, [67] = claim, [76] = release, [86] = reverse } -- R H K C L V
local checks_at = {
  [82] = orders.checks_at, [72] = orders.checks_at, [75] = orders.checks_at, [67] = claim.checks_at,
  [76] = release.checks_at, [86] = reverse.checks_at,
}

-- Decides and applies the items from call.next on. An error in one of them ends it; `batch` then begins it again behind
-- that item.
local function decide_items(call, args, stale, replies, may_write)
  for index = call.next, #args do
    call.next = index + 1
    local packed = args[index]
    local name = packed:byte(1)
    local operation = operations[name]
    if not operation then error('an operation of another version: ' .. (name or 'none')) end
    local reply, applies = operation.decide(call, packed, stale)
    replies[index - FIRST_ITEM + FIRST_REPLY] = (may_write or not applies) and reply or 'F'
    if applies and may_write then
      call.applied = index
      operation.apply(call)
    end
  end
end

local function run(key_names, args, may_write)
  local call = frame.begin_writing(key_names, args)
  local stale, replies = {}, {}
  if call.rules > 0 then velocity.begin(call, args, FIRST_ITEM, checks_at) end
  if may_write then holds.reap(call) end
  call.next = FIRST_ITEM
  while call.next <= #args do
    local ok, why = pcall(decide_items, call, args, stale, replies, may_write)
    if not ok then
      -- Apply cannot fail. If it does, part of the item may be written: then the whole call fails, because nobody may
      -- be told that nothing was done.
      if call.applied == call.next - 1 then error(why) end
      replies[call.next - 1 - FIRST_ITEM + FIRST_REPLY] = 'E' .. (type(why) == 'table' and why.err or tostring(why))
    end
  end
  replies[2] = campaigns.definitions(call, stale)
  rules.add_changes(call, replies[2])
  if may_write then frame.close(call) end
  replies[1] = frame.head(call)
  return replies
end

function batch.call(key_names, args) return run(key_names, args, true) end

function batch.without_writes(key_names, args) return run(key_names, args, false) end

return batch
