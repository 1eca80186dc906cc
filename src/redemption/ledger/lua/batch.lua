-- batch: decides many items in one call, each by itself: an item either changes all it plans or nothing.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5…] one item each: a byte that names its operation (see `operations`), then what that operation reads
-- Replies  head · {number, version, definition, …} of the campaigns whose version was not the server's · one string an
--          item: S judged by an old version · C judged for another moment · E failed: why (for the log) · else as the
--          operation says
-- Invariant: an item that errs leaves no trace, and its neighbours are unharmed.

local FIRST_ITEM, FIRST_REPLY = 5, 3

-- `decide` of each is called with the call, its item, leading byte and all, and a set of the numbers of campaigns that are
-- stale, to which it may add. It returns the reply, and whether `apply` is to be called.
local operations = { [82] = redeem, [67] = claim } -- R and C

-- Does the items from the call's next one on; ends early when one of them raises.
local function decide_items(call, args, stale, replies)
  for index = call.next, #args do
    call.next = index + 1
    local packed = args[index]
    local name = packed:byte(1)
    local operation = operations[name]
    if not operation then error('an operation of another version: ' .. (name or 'none')) end
    local reply, applies = operation.decide(call, packed, stale)
    replies[index - FIRST_ITEM + FIRST_REPLY] = reply
    if applies then
      call.applied = index
      operation.apply(call)
    end
  end
end

local function batch(key_names, args)
  local call = frame.begin_writing(key_names, args)
  local stale, replies = {}, {}
  call.next = FIRST_ITEM
  while call.next <= #args do
    local ok, why = pcall(decide_items, call, args, stale, replies)
    if not ok then
      -- What is planned cannot fail. If it does, nobody may be told that nothing was done.
      if call.applied == call.next - 1 then error(why) end
      replies[call.next - 1 - FIRST_ITEM + FIRST_REPLY] = 'E' .. (type(why) == 'table' and why.err or tostring(why))
    end
  end
  replies[2] = campaigns.definitions(call, stale)
  frame.close(call)
  replies[1] = frame.head(call)
  return replies
end

return batch
