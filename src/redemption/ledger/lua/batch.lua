-- batch: decides many items in one call, each by itself: an item either changes all it plans or nothing.
--
-- KEYS[1]  the program's tag
-- ARGV[1]  what the server knows of the ledger (see call.lua)
-- ARGV[2]  about how many entries the event stream keeps
-- ARGV[3…] one item each: a byte that names its operation (see `operations`), then what that operation reads
-- Replies  head · {number, version, definition, …} of the campaigns whose version was not the server's · one string an
--          item: S judged by an old version · C judged for another moment · E failed: why (for the log) · else as the
--          operation says
-- Invariant: an item that errs leaves no trace, and its neighbours are unharmed.

-- Each is called with the call, its item, leading byte and all, and a set of the numbers of campaigns that are
-- stale, to which it may add. It reads and stages, stages only when all of the item was decided, and returns the reply.
local operations = {
  R = redeem,
  C = claim,
}

local function decide(call, item, stale)
  local operation = operations[item:sub(1, 1)]
  if not operation then error('an operation of another version: ' .. (item:byte(1) or 'none')) end
  return operation(call, item, stale)
end

local function batch(key_names, args)
  local call = begin(key_names[1], args[1])
  local stale, replies = {}, {}
  for index = 3, #args do
    local ok, reply = pcall(decide, call, args[index], stale)
    if not ok then reply = 'E' .. (type(reply) == 'table' and reply.err or tostring(reply)) end
    replies[index] = reply
  end
  replies[2] = definitions(call, stale)
  apply(call, args[2])
  replies[1] = head(call)
  return replies
end
