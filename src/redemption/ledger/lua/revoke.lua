-- revoke_serials and revoke_customer: take coupons back, at once and for good.
--
-- KEYS[1]  the program's tag
-- ARGV     what the server knows of the ledger (see call.lua) · event stream bound · campaign · request digest ·
--          content digest · then first and last serial, or the customer's digest · then why, for the record
-- Replies  head · a word: done, mismatch, gone (no such campaign), archived, beyond (and then how many serials were
--          issued), full (and then how many ranges or customers there may be)
-- Invariant: ranges neither touch nor overlap, so that the last one that begins at or before a serial answers for it;
--            of a customer only what was issued before is revoked.

local REVOKED_MAX = 100000 -- ranges of a campaign, and customers

-- Whether a coupon was taken back: its serial, or all that its holder (a digest, or false when it is not bound) had.
local function is_revoked(call, number, campaign, serial, holder)
  if campaign.revoked then
    local last = redis.call('ZREVRANGEBYSCORE', keys.revoked(call.tag, number), number_text(serial), '-inf',
      'LIMIT', 0, 1)[1]
    if last and serial <= tonumber(last) then return true end
  end
  if holder and campaign.revoked_customers then
    local issued = redis.call('HGET', keys.revoked_customers(call.tag, number), holder)
    return issued and serial < tonumber(issued)
  end
  return false
end

-- The last range that begins at or before a serial: its first and last serial, or nil.
local function range_before(key, serial)
  local found = redis.call('ZREVRANGEBYSCORE', key, number_text(serial), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not found[1] then return nil end
  return tonumber(found[2]), tonumber(found[1])
end

-- What a range becomes together with those that it touches, how many these are, and whether one had it all already.
local function merge(key, first, last)
  local begins, ends = range_before(key, first)
  if begins and ends >= last then return begins, ends, 1, true end
  if begins and ends >= first - 1 then first = begins end
  local _, latest_end = range_before(key, last + 1)
  last = math.max(last, latest_end or last)
  return first, last, redis.call('ZCOUNT', key, number_text(first), number_text(last)), false
end

-- Begins a revocation; returns a reply when it ends right there.
local function begin_revocation(key_names, args)
  local call = begin(key_names[1], args[1])
  local number, request, content = tonumber(args[3]), args[4], args[5]
  local remembered = read_request(call, request)
  if remembered then
    return call, number, { head(call), request_content(remembered) == content and 'done' or 'mismatch' }
  end
  if not campaign_of(call, number) then return call, number, { head(call), 'gone' } end
  if is_archived(call, number) then return call, number, { head(call), 'archived' } end
  local request_key, field = keys.request(call.tag, call.generation, request)
  stage(call, request_key, field, pack_request_text(content, ''))
  return call, number, nil
end

local function revoke_serials(key_names, args)
  local call, number, ended = begin_revocation(key_names, args)
  if ended then return ended end
  local first, last = tonumber(args[6]), tonumber(args[7])
  local campaign, key = campaign_of(call, number), keys.revoked(call.tag, number)
  if last >= campaign.issued then return { head(call), 'beyond', number_text(campaign.issued) } end
  local merged_first, merged_last, merged, had = merge(key, first, last)
  local ranges = redis.call('ZCARD', key) - merged + 1
  if ranges > REVOKED_MAX then return { head(call), 'full', REVOKED_MAX } end
  stage_campaign(call, number, { revoked = ranges })
  call.events[1] = { 'revoked', number, first, last - first + 1, args[4], args[8] }
  apply(call, args[2])
  if not had then
    redis.call('ZREMRANGEBYSCORE', key, number_text(merged_first), number_text(merged_last))
    redis.call('ZADD', key, number_text(merged_first), number_text(merged_last))
  end
  return { head(call), 'done' }
end

local function revoke_customer(key_names, args)
  local call, number, ended = begin_revocation(key_names, args)
  if ended then return ended end
  local customer, key = args[6], keys.revoked_customers(call.tag, number)
  local customers = redis.call('HLEN', key) + 1 - redis.call('HEXISTS', key, customer)
  if customers > REVOKED_MAX then return { head(call), 'full', REVOKED_MAX } end
  stage(call, key, customer, number_text(campaign_of(call, number).issued))
  stage_campaign(call, number, { revoked_customers = customers })
  call.events[1] = { 'customer_revoked', number, customer, campaign_of(call, number).issued, args[4], args[7] }
  apply(call, args[2])
  return { head(call), 'done' }
end
