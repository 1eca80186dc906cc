-- revoke_serials and revoke_customer: revoke coupons, at once and for good.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5]   the principal
-- ARGV[6]   campaign · [7] request digest · [8] content digest
-- ARGV[9]   the reason, for the event
-- ARGV[10]  revoke_serials: first · [11] last serial; revoke_customer: [10] the customer's digest
-- Replies  head · a word: done, mismatch, gone (no such campaign), archived, beyond (and then how many serials were
--          issued), full (and then how many ranges or customers there may be)
-- Events   revoked: principal · campaign · first serial · count · request digest · reason
--          customer_revoked: principal · campaign · customer digest · how many serials were issued · request digest ·
--          reason
-- Invariant: ranges neither touch nor overlap, so only the last range that begins at or before a serial can have it; a
--            customer loses only coupons that were issued before.

local revoke = {}

local REVOKED_MAX = 100000 -- ranges of a campaign, and as many customers

-- Whether a coupon is revoked, by its serial or with all that its holder had. holder: the digest of the customer that
-- it is bound to, or false.
function revoke.is_revoked(call, campaign, serial, holder)
  if campaign.revoked > 0 then
    local key = keys.revoked(call.tag, campaign.number)
    local last = redis.call('ZREVRANGEBYSCORE', key, keys.number_text(serial), '-inf', 'LIMIT', 0, 1)[1]
    if last and serial <= tonumber(last) then return true end
  end
  if holder and campaign.revoked_customers > 0 then
    local issued = redis.call('HGET', keys.revoked_customers(call.tag, campaign.number), holder)
    return issued and serial < tonumber(issued)
  end
  return false
end

-- Returns the first and the last serial of the last range that begins at or before a serial, or nil.
local function range_before(key, serial)
  local found = redis.call('ZREVRANGEBYSCORE', key, keys.number_text(serial), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not found[1] then return nil end
  return tonumber(found[2]), tonumber(found[1])
end

-- Joins a range with those that it touches. Returns the first and last serial of the result, how many ranges it
-- replaces, and whether one of them had all serials already.
local function merge(key, first, last)
  local begins, ends = range_before(key, first)
  if begins and ends >= last then return begins, ends, 1, true end
  if begins and ends >= first - 1 then first = begins end
  local _, latest_end = range_before(key, last + 1)
  last = math.max(last, latest_end or last)
  return first, last, redis.call('ZCOUNT', key, keys.number_text(first), keys.number_text(last)), false
end

-- Begins a revocation, and plans to remember the request. Returns the call and its campaign; or nil and the reply, when
-- there is nothing more to do.
local function begin(key_names, args)
  local number, request, content = tonumber(args[6]), args[7], args[8]
  local call = frame.begin_writing(key_names, args)
  local remembered, request_key = idempotency.find_digest(call, request)
  if remembered then
    return nil, { frame.head(call), records.request_content(remembered) == content and 'done' or 'mismatch' }
  end
  local campaign = campaigns.of(call, number)
  if not campaign then return nil, { frame.head(call), 'gone' } end
  if campaigns.is_archived(campaign) then return nil, { frame.head(call), 'archived' } end
  local key, field = idempotency.place_digest(call, request, request_key)
  frame.plan_nothing()
  frame.plan(key, field, records.pack_request_text(content, ''))
  call.remembered = call.remembered + 1
  return call, campaign
end

function revoke.serials(key_names, args)
  local principal, request, reason, first, last = args[5], args[7], args[9], tonumber(args[10]), tonumber(args[11])
  local call, campaign = begin(key_names, args)
  if not call then return campaign end
  local key = keys.revoked(call.tag, campaign.number)
  if last >= campaign.issued then return { frame.head(call), 'beyond', keys.number_text(campaign.issued) } end
  local merged_first, merged_last, merged, had = merge(key, first, last)
  local ranges = redis.call('ZCARD', key) - merged + 1
  if ranges > REVOKED_MAX then return { frame.head(call), 'full', REVOKED_MAX } end
  local from, to = keys.number_text(merged_first), keys.number_text(merged_last)
  local event = cmsgpack.pack({ 'revoked', principal, campaign.number, first, last - first + 1, request, reason })
  campaign.revoked = ranges
  if not had then
    redis.call('ZREMRANGEBYSCORE', key, from, to)
    redis.call('ZADD', key, from, to)
  end
  frame.commit(call, event)
  return { frame.head(call), 'done' }
end

function revoke.customer(key_names, args)
  local principal, request, reason, customer = args[5], args[7], args[9], args[10]
  local call, campaign = begin(key_names, args)
  if not call then return campaign end
  local key = keys.revoked_customers(call.tag, campaign.number)
  local customers = redis.call('HLEN', key) + 1 - redis.call('HEXISTS', key, customer)
  if customers > REVOKED_MAX then return { frame.head(call), 'full', REVOKED_MAX } end
  frame.plan(key, customer, keys.number_text(campaign.issued))
  local event = cmsgpack.pack({ 'customer_revoked', principal, campaign.number, customer, campaign.issued, request,
    reason })
  campaign.revoked_customers = customers
  frame.commit(call, event)
  return { frame.head(call), 'done' }
end

return revoke
