-- issue: takes a block of serials for minting, durable before the first token is shown.
--
-- KEYS[1]  the program's tag
-- ARGV     event stream bound · campaign · version · count · request digest · content digest
-- Replies  head · first serial, or a word: mismatch, stale, limit (no room), and then how many are left
-- Invariant: serials below `issued` were handed out once each; the same request gets the same block.

local function issue(key_names, args)
  local call = begin(key_names[1])
  if not call then return redis.error_reply(NO_LEDGER) end
  local number, version, count = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local request, content = args[5], args[6]
  local remembered = read_request(call, request)
  if remembered then
    if request_content(remembered) ~= content then return { head(call), 'mismatch' } end
    return { head(call), remembered:sub(14) }
  end
  local key = keys.campaign(call.tag, number)
  local values = redis.call('HMGET', key, 'version', 'issued', 'limit_issued')
  if tonumber(values[1] or nil) ~= version then return { head(call), 'stale' } end
  local first, limit = tonumber(values[2]), tonumber(values[3] or 2 ^ 40)
  if first + count > limit then return { head(call), 'limit', number_text(math.max(limit - first, 0)) } end
  stage(call, key, 'issued', number_text(first + count))
  local request_key, field = keys.request(call.tag, call.generation, request)
  stage(call, request_key, field, pack_request(content, call.seconds, {}, number_text(first)))
  call.events[1] = { 'issued', number, first, count, request }
  apply(call, args[1])
  return { head(call), number_text(first) }
end
