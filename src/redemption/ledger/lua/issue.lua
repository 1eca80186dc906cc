-- issue: takes a block of serials for minting, durable before the first token is shown.
--
-- KEYS[1]  the program's tag
-- ARGV     what the server knows of the ledger (see call.lua) · event stream bound · campaign · version (0 only asks for a block that was issued before) · count · request
--          digest · content digest · not before · expires at (Unix seconds: when the tokens are valid)
-- Replies  head · first serial · not before · expires at, or head · a word: none, mismatch, stale, limit (no room, and
--          then how many are left)
-- Invariant: serials below `issued` were handed out once each; the same request gets the same block.

local function issue(key_names, args)
  local call = begin(key_names[1], args[1])
  local number, version, count = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local request, content = args[6], args[7]
  local remembered = read_request(call, request)
  if remembered then
    if request_content(remembered) ~= content then return { head(call), 'mismatch' } end
    return { head(call), string.match(request_text(remembered), '^(%d+) (%d+) (%d+)$') }
  end
  if version == 0 then return { head(call), 'none' } end
  local key = keys.campaign(call.tag, number)
  local values = redis.call('HMGET', key, 'version', 'issued', 'limit_issued')
  if not values[1] or tonumber(values[1]) ~= version then return { head(call), 'stale' } end
  local first, limit = tonumber(values[2]), tonumber(values[3] or 2 ^ 40)
  if first + count > limit then return { head(call), 'limit', number_text(math.max(limit - first, 0)) } end
  stage(call, key, 'issued', number_text(first + count))
  local block = { number_text(first), args[8], args[9] }
  local request_key, field = keys.request(call.tag, call.generation, request)
  stage(call, request_key, field, pack_request_text(content, table.concat(block, ' ')))
  call.events[1] = { 'issued', number, first, count, request }
  apply(call, args[2])
  return { head(call), unpack(block) }
end
