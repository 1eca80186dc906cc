-- count_refusals: adds the refusals that a server has counted since its last call.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5…]  triples: campaign · outcome (its number in the contract) · how often; or, of what rules did: 0 · the rule's
--           number times 4, plus 1 refused, 2 would have refused, 3 had no subject · how often
-- Replies  head
-- Event    refused: empty (many principals asked) · [the triples]
-- Invariant: a campaign that does not exist is left out; every other count is added once.

local refusal_counts = {}

local FIRST_COUNT = 5

function refusal_counts.call(key_names, args)
  local call = frame.begin_writing(key_names, args)
  local counted = {}
  frame.plan_nothing()
  for index = FIRST_COUNT, #args, 3 do
    local number, outcome, count = tonumber(args[index]), args[index + 1], tonumber(args[index + 2])
    if number == 0 or campaigns.of(call, number) then
      local key = number == 0 and keys.rule_counts(call.tag) or keys.refused(call.tag, number)
      local before = keys.whole(redis.call('HGET', key, outcome) or 0) or error('a count of refusals that is no number')
      frame.plan(key, outcome, keys.number_text(before + count))
      counted[#counted + 1] = number
      counted[#counted + 1] = tonumber(outcome)
      counted[#counted + 1] = count
    end
  end
  if #counted > 0 then
    local event = cmsgpack.pack({ 'refused', '', counted })
    frame.commit(call, event)
  end
  return { frame.head(call) }
end

return refusal_counts
