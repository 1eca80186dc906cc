-- issue: issues a block of serials for minting. It is durable before the first token or code is shown.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5]   the principal
-- ARGV[6]   campaign · [7] version (0: only asks for the block that this request got before) · [8] count
-- ARGV[9]   request digest · [10] content digest
-- ARGV[11]  not before · [12] expires at (Unix seconds: when the coupons are valid) · [13] id of the key that signs
--           them
-- ARGV[14]  offer · [15] its quota (0: none) · [16] day (days since 1970, campaign's zone)
-- ARGV[17]  since · [18] until (Unix ms; the judgement holds from since on and before until)
-- Replies  head · first serial · not before · expires at · key id, or head · a word:
--          none (no block was issued before), mismatch (the request id stands for other content), stale and recheck
--          (the judgement is outdated: another version, another moment), or limit (then the limit that has too little
--          room: issued, offer or day; and how many are left)
-- Event    issued: principal · campaign · first serial · count · request digest · offer
-- Invariant: every serial below `issued` was issued once; the same request gets the same block; `issued` is the sum of
--            all `issued:<offer>`.

local issue = {}

function issue.call(key_names, args)
  local principal, number, version, count = args[5], tonumber(args[6]), tonumber(args[7]), tonumber(args[8])
  local request, content, not_before, expires_at, key_id = args[9], args[10], args[11], args[12], args[13]
  local offer, quota, day = tonumber(args[14]), tonumber(args[15]), tonumber(args[16])
  local since, until_ = tonumber(args[17]), tonumber(args[18])
  local call = frame.begin_writing(key_names, args)
  local remembered, request_key = idempotency.find_digest(call, request)
  if remembered then
    if records.request_content(remembered) ~= content then return { frame.head(call), 'mismatch' } end
    return { frame.head(call), string.match(records.request_text(remembered), '^(%d+) (%d+) (%d+) (%d+)$') }
  end
  if version == 0 then return { frame.head(call), 'none' } end
  local campaign = campaigns.of(call, number)
  if not campaign or campaign.version ~= version then return { frame.head(call), 'stale' } end
  if call.now < since or call.now >= until_ then return { frame.head(call), 'recheck' } end
  local left, limit = limits.decide_issue(campaign, offer, quota, day)
  if count > left then return { frame.head(call), 'limit', limit, keys.number_text(left) } end
  local first = campaign.issued
  local block = { keys.number_text(first), not_before, expires_at, key_id }
  local key, field = idempotency.place_digest(call, request, request_key)
  frame.plan_nothing()
  frame.plan(key, field, records.pack_request_text(content, table.concat(block, ' ')))
  local event = cmsgpack.pack({ 'issued', principal, number, first, count, request, offer })
  call.remembered = call.remembered + 1
  limits.apply_issue(campaign, offer, day, count)
  frame.commit(call, event)
  return { frame.head(call), unpack(block) }
end

return issue
