#!lua name=redemption_86287571f51b
local SUFFIX = '86287571f51b'
-- The speller of every ledger key; ledger/keys.py mirrors it, and a test holds the two together.
--
-- tag: KEYS[1], the program in braces, for example {demo}: all keys of a program lie in one slot. Keys that every
-- redemption writes have names of one letter: u used coupons, c customers, r remembered requests.

local keys = {}

-- Spells a whole number (up to 53 bits) in decimal digits. Lua's own ".." does it as for a fraction, which takes longer, and
-- with 14 digits at most. Small numbers, which are almost all that keys have, are remembered.
local SPELLED_MAX = 4096
local spelled_numbers = {}
local function spelled(number)
  local text = spelled_numbers[number]
  if not text then
    text = string.format('%d', number)
    if number < SPELLED_MAX then spelled_numbers[number] = text end
  end
  return text
end

function keys.ledger(tag) return tag .. ':ledger' end
function keys.events(tag) return tag .. ':events' end
function keys.names(tag) return tag .. ':names' end
function keys.campaign(tag, number) return tag .. ':campaign:' .. spelled(number) end

-- The record of a coupon is the field serial mod width of the block serial div width.
function keys.used(tag, number, width, serial)
  return keys.used_block(tag, number, math.floor(serial / width)), spelled(serial % width)
end

function keys.used_block(tag, number, block) return tag .. ':u:' .. spelled(number) .. ':' .. spelled(block) end

-- A customer's counters are the field digest of one of `buckets` (a power of two, at most 65,536) hashes.
function keys.customer(tag, number, buckets, digest)
  local first, second = digest:byte(1, 2)
  return keys.customer_bucket(tag, number, (first * 256 + second) % buckets), digest
end

function keys.customer_bucket(tag, number, bucket) return tag .. ':c:' .. spelled(number) .. ':' .. spelled(bucket) end

-- A remembered request is the rest of its digest (the first byte is in the bucket) in one of 4,096 hashes.
function keys.request(tag, generation, digest)
  local first, second = digest:byte(1, 2)
  return keys.request_bucket(tag, generation, first * 16 + math.floor(second / 16)), digest:sub(2)
end

function keys.request_bucket(tag, generation, bucket)
  return tag .. ':r:' .. spelled(generation) .. ':' .. spelled(bucket)
end

-- Serials that were taken back: ranges that neither touch nor overlap, as a sorted set of their last serials by their
-- first ones.
function keys.revoked(tag, number) return tag .. ':revoked:' .. spelled(number) end

-- Customers whose coupons were taken back: digest → how many serials were issued at that moment.
function keys.revoked_customers(tag, number) return tag .. ':revoked_customers:' .. spelled(number) end

-- Claims of a customer (kind c) or a person (p): the field kind and digest of one of `buckets` hashes.
function keys.claims(tag, number, buckets, kind, digest)
  local first, second = digest:byte(1, 2)
  return keys.claims_bucket(tag, number, (first * 256 + second) % buckets), kind .. digest
end

function keys.claims_bucket(tag, number, bucket) return tag .. ':claims:' .. spelled(number) .. ':' .. spelled(bucket) end

-- An exchange code is the rest of its digest (the first byte is in the bucket) in one of 16,384 hashes.
function keys.code(tag, digest)
  local first, second = digest:byte(1, 2)
  return keys.code_bucket(tag, first * 64 + math.floor(second / 4)), digest:sub(2)
end

function keys.code_bucket(tag, bucket) return tag .. ':code:' .. spelled(bucket) end

-- The packed values of the ledger. Each begins with a byte that names its format; all integers are big-endian.
-- struct.pack wraps silently, so whatever is packed here is bounded before.

local NARROW_MAX = 2 ^ 24 - 1
local COUNT_MAX = 65535
local REDEEMED = 1 -- 0 is a coupon that was given back

-- Coupon: format*16+state 1 · redeemed at 4 (Unix seconds) · request digest 10 · order digest 6 · customer digest 8 ·
-- discount 3 (formats 1 and 3) or 8 (formats 2 and 4), minor units · generation 2 (formats 3 and 4; else it is 0).
local COUPON_FORMATS = { '>BI4c10c6c8I3', '>BI4c10c6c8I8', '>BI4c10c6c8I3I2', '>BI4c10c6c8I8I2' }

local function pack_used_coupon(redeemed_at, request, order, customer, discount, generation)
  local format = (discount <= NARROW_MAX and 1 or 2) + (generation > 0 and 2 or 0)
  return struct.pack(COUPON_FORMATS[format], format * 16 + REDEEMED, redeemed_at, request, order, customer, discount,
    generation)
end

local function unpack_coupon(value)
  local head = value:byte(1)
  local format = COUPON_FORMATS[math.floor(head / 16)]
  -- A newer version may know other states; what is not understood is not taken for unused.
  if not format or head % 16 > REDEEMED then error('coupon record of unknown format ' .. head) end
  local _, redeemed_at, request, order, customer, discount, generation = struct.unpack(format, value)
  return {
    state = head % 16, redeemed_at = redeemed_at, request = request, order = order, customer = customer,
    discount = discount, generation = math.floor(head / 16) > 2 and generation or 0,
  }
end

-- Customer of a campaign: format 1 · redemptions 2 · day 2 (days since 1970 in the campaign's zone) · of which today 2.
-- A count that has reached 65,535 stays there; no limit can be higher.
local function pack_customer(customer)
  return struct.pack('>BI2I2I2', 1, math.min(customer.redeemed, COUNT_MAX), customer.day,
    math.min(customer.today, COUNT_MAX))
end

local function unpack_customer(value)
  if not value then return 0, 0, 0 end
  local format, redeemed, day, today = struct.unpack('>BI2I2I2', value)
  if format ~= 1 then error('customer record of unknown format ' .. format) end
  return redeemed, day, today
end

-- Remembered request: format 1 · content digest 8 · decided at 4 (Unix seconds) · tokens 1 and generation 2 each
-- (format 2 only; format 1 means that all are 0) · the answer as the server wrote it.
local function pack_request(content, decided_at, tokens, answer)
  local all_zero, generations = true, ''
  for index = 1, #tokens do all_zero = all_zero and tokens[index].generation == 0 end
  if all_zero then return struct.pack('>Bc8I4', 1, content, decided_at) .. answer end
  for index = 1, #tokens do generations = generations .. struct.pack('>I2', tokens[index].generation) end
  return struct.pack('>Bc8I4B', 2, content, decided_at, #tokens) .. generations .. answer
end

-- Remembered request whose answer is no approval: format 3 · content digest 8 · the answer as text.
local function pack_request_text(content, answer) return struct.pack('>Bc8', 3, content) .. answer end

local function request_text(value) return value:sub(10) end

local function is_approval(value) return value:byte(1) < 3 end

local function request_content(value)
  local format, content = struct.unpack('>Bc8', value)
  if format < 1 or format > 3 then error('request record of unknown format ' .. format) end
  return content
end

-- The frame of every call that writes: what it reads first, what it stages, and how it is applied.
--
-- Lua does not roll back, so a call has three phases. Decide: reads only; whatever an item wants to change is staged,
-- and staged only when all of the item was decided. Apply: writes that cannot fail, to keys whose type was read.
-- Reply. A call that writes raises `seq` by one and moves the clock, which never runs backwards.

local GENERATION_MS = 86400000
local REQUEST_BUCKETS = 4096
local REAPED_AT_ONCE = 16
-- What is read of every campaign that a call decides about. A limit that is missing is none; the numbers of the last
-- two lines are missing until they are first needed.
local CAMPAIGN_FIELDS = {
  'version', 'width', 'customer_buckets', 'issued', 'redeemed', 'discount', 'day', 'redeemed_day',
  'limit_redemptions', 'limit_customer', 'limit_customer_day', 'limit_day', 'limit_budget', 'limit_budget_day',
  'merchant', 'budget_day', 'budget_start', 'slot', 'slot_start',
  'revoked', 'revoked_customers',
}

-- Reads the program's header and compares it with what the server knows of it (ARGV[1] of every function: epoch 16,
-- then the least sequence number; empty when it knows nothing). Raises when there is no ledger, or another one, or one
-- that forgot: so before anything is decided.
local function begin(tag, known)
  local header = redis.call('HMGET', keys.ledger(tag), 'epoch', 'seq', 'clock', 'reaped')
  if not header[1] and known == '' then error({ err = 'NOLEDGER this program has no ledger here' }) end
  if known ~= '' and (header[1] ~= known:sub(1, 16) or tonumber(header[2]) < tonumber(known:sub(17))) then
    error({ err = 'NOTTRUSTED this is not the ledger that the server knows' })
  end
  redis.call('XLEN', keys.events(tag)) -- raises here, before anything is written, if it is no stream
  local time = redis.call('TIME')
  local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(header[3]))
  return {
    tag = tag, epoch = header[1], seq = tonumber(header[2]), now = now, seconds = math.floor(now / 1000),
    generation = math.floor(now / GENERATION_MS), reaped = tonumber(header[4]),
    writes = {}, campaigns = {}, counters = {}, changed = {}, events = {},
  }
end

-- A field of a hash as this call sees it: staged by an earlier item, or stored.
local function read(call, key, field)
  local staged = call.writes[key]
  if staged and staged[field] then return staged[field] end
  return redis.call('HGET', key, field)
end

-- The campaign as this call sees it, read once; false when there is none, and a field is false that is missing.
local function campaign_of(call, number)
  local campaign = call.campaigns[number]
  if campaign == nil then
    local values = redis.call('HMGET', keys.campaign(call.tag, number), unpack(CAMPAIGN_FIELDS))
    campaign = false
    if values[1] then
      campaign = {}
      for index, field in ipairs(CAMPAIGN_FIELDS) do
        local value = values[index]
        -- A limit that cannot be read is not taken for none.
        campaign[field] = value and (tonumber(value) or error('campaign record whose ' .. field .. ' is no number'))
      end
    end
    call.campaigns[number] = campaign
  end
  return campaign
end

-- Whether the records of a campaign are being removed, or are gone: then none may be written any more.
local function is_archived(call, number)
  return redis.call('HEXISTS', keys.campaign(call.tag, number), 'archive') == 1
end

-- Says what no longer fits: the version of one of the judged campaigns (S), or the moment of the judgement (C).
local function misfit(call, judged, since, until_, stale)
  local found = nil
  for index = 1, #judged do
    local token = judged[index]
    local campaign = campaign_of(call, token.campaign)
    if (campaign and campaign.version or 0) ~= token.version then
      stale[token.campaign] = true
      found = 'S'
    end
  end
  if found then return found end
  if call.now < since or call.now >= until_ then return 'C' end
  return nil
end

-- What is in force now of the campaigns in a set: number, version, definition, …; version 0 of one that does not exist.
local function definitions(call, numbers)
  local found = {}
  for number in pairs(numbers) do
    local values = redis.call('HMGET', keys.campaign(call.tag, number), 'version', 'definition')
    found[#found + 1] = number
    found[#found + 1] = tonumber(values[1] or 0) or 0
    found[#found + 1] = values[2] or ''
  end
  return found
end

-- What was remembered under a request digest, in the current generation or the one before, or false; then key and field
-- under which it is to be remembered now.
local function read_request(call, digest)
  local key, field = keys.request(call.tag, call.generation, digest)
  local value = read(call, key, field)
  return value or read(call, keys.request(call.tag, call.generation - 1, digest)), key, field
end

local function stage(call, key, field, value)
  local fields = call.writes[key]
  if not fields then
    fields = {}
    call.writes[key] = fields
  end
  fields[field] = value
end

local function number_text(value) return string.format('%.0f', value) end

-- Changes numbers of a campaign, for this call's later items to see; they are spelled and written once a call. What is 0
-- and was never written stays unwritten. What redemptions change is in `counters` until the call is applied.
local function stage_campaign(call, number, fields)
  local campaign, changed = call.campaigns[number], call.changed[number]
  if not changed then
    changed = {}
    call.changed[number] = changed
  end
  for field, value in pairs(fields) do
    if value ~= (campaign[field] or 0) then
      campaign[field] = value
      changed[field] = true
    end
  end
end

-- Requests are remembered for the rest of their day and the whole next one; older buckets go, a few with each call.
local function reap(call)
  local due = (call.generation - 1) * REQUEST_BUCKETS
  if call.reaped >= due then return end
  local last = math.min(call.reaped + REAPED_AT_ONCE, due)
  local dead = {}
  for position = call.reaped, last - 1 do
    local generation = math.floor(position / REQUEST_BUCKETS)
    dead[#dead + 1] = keys.request_bucket(call.tag, generation, position % REQUEST_BUCKETS)
  end
  redis.call('UNLINK', unpack(dead))
  call.reaped = last
end

-- Writes fields of a hash. Most have one, for which no list is made.
local function write(key, fields)
  local first, its_value = next(fields)
  if next(fields, first) == nil then
    redis.call('HSET', key, first, its_value)
    return
  end
  local flat = {}
  for field, value in pairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('HSET', key, unpack(flat))
end

-- Writes all that was staged. outbox_max: about how many entries the event stream keeps; older ones are trimmed.
local function apply(call, outbox_max)
  call.seq = call.seq + 1
  if #call.events > 0 then
    -- First, because it is the only one that could still fail: at the stream's very last id.
    redis.call('XADD', keys.events(call.tag), 'MAXLEN', '~', outbox_max, '*', 'e',
      cmsgpack.pack({ call.seq, call.seconds, call.events }))
  end
  for number, counters in pairs(call.counters) do stage_campaign(call, number, counters) end
  for number, changed in pairs(call.changed) do
    local key, campaign = keys.campaign(call.tag, number), call.campaigns[number]
    for field in pairs(changed) do stage(call, key, field, number_text(campaign[field])) end
  end
  for key, fields in pairs(call.writes) do write(key, fields) end
  reap(call)
  redis.call('HSET', keys.ledger(call.tag), 'seq', number_text(call.seq), 'clock', number_text(call.now),
    'reaped', number_text(call.reaped))
end

-- The head of every reply: sequence number 8 (raised if the call was applied) · clock 8 (Unix milliseconds) · epoch (16
-- hexadecimal digits).
local function head(call)
  return struct.pack('>I8I8', call.seq, call.now) .. call.epoch
end

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

-- redeem (R): decides one order, with all its coupons or none.
--
-- Item     big-endian: request digest 10 · content digest 8 · order digest 6 · has customer 1 · customer digest 8 ·
--          since 8 · until 8 (Unix ms, half-open: when the judgement holds) · tokens 1 · for each token: campaign 4 ·
--          version 4 (0: the server knows of no such campaign) · serial 8 · outcome 2 (as the server judged it) ·
--          discount 8 and the merchants' share of it 8 (minor units) · day 2 (days since 1970, campaign's zone) ·
--          slot 4 (names a slot of a day; 0 none) · the slot's limit 8 · flags 1 (1: bound to the customer; 2: the
--          slot's limit is for all of the day so far) · then the answer to remember, opaque
-- Replies  beside those of batch.lua:
--   A approved: decided at 4 · generation 2 a token
--   P remembered: the request record from `decided at` on, behind its format byte
--   U remembered by the coupons alone: a token: redeemed at 4 · generation 2 · discount 8
--   N refused: a token: rank 2 · redeemed at 4 · generation 2 · discount 8 (of the earlier use, else 0)
--   M the request id stands for other content
-- Invariant: an order either changes all it plans or nothing; counters equal the records; no limit is passed.
--
-- What was redeemed in a slot and what was discounted on a day is the campaign's total less what it was at their start
-- (`slot_start`, `budget_start`), so that it costs no write a redemption, and a limit that is set in the middle of a
-- day knows all of that day. Whatever lowers a total for a redemption of an earlier slot or day lowers the start with it.

local MINOR_MAX = 2 ^ 53 - 1 -- no counter of money may leave what a double counts exactly
local ORDER = '>c10c8c6Bc8I8I8B'
local TOKEN = '>I4I4I8I2I8I8I2I4I8B'
local APPROVED, TOKEN_INVALID, SAME_ORDER, REVOKED, ALREADY_REDEEMED = 400, 10, 15, 100, 150
local CUSTOMER_LIMIT, CUSTOMER_DAY_LIMIT, DAY_LIMIT, SLOT_LIMIT = 310, 320, 330, 340
local CAMPAIGN_LIMIT, BUDGET_EXHAUSTED, BUDGET_DAY = 350, 360, 361 -- BUDGET_DAY: exhausted for today only

local function unpack_item(packed)
  local request, content, order, has_customer, customer, since, until_, count, position = struct.unpack(ORDER, packed, 2)
  local item = {
    request = request, content = content, order = order, customer = customer, has_customer = has_customer == 1,
    since = since, until_ = until_, tokens = {}, counters = {}, customers = {}, answer = false,
  }
  for index = 1, count do
    -- Each table is made in one go: one that grows field by field costs more than reading the order does.
    local campaign, version, serial, outcome, discount, merchant, day, slot, slot_limit, flags
    campaign, version, serial, outcome, discount, merchant, day, slot, slot_limit, flags, position =
      struct.unpack(TOKEN, packed, position)
    item.tokens[index] = {
      campaign = campaign, version = version, serial = serial, outcome = outcome, discount = discount,
      merchant = merchant, day = day, slot = slot, slot_limit = slot_limit,
      bound = flags % 2 == 1, carries = flags >= 2, key = false, field = false, coupon = false, generation = 0, rank = 0,
    }
  end
  item.answer = packed:sub(position)
  return item
end

-- A copy of the counters that the tokens of one item change, so that an item that fails leaves no trace.
local function counters_of(call, item, number, campaign)
  local counters = item.counters[number]
  if not counters then
    local latest = call.counters[number] or campaign
    counters = {
      redeemed = latest.redeemed, discount = latest.discount, merchant = latest.merchant or 0,
      day = latest.day, redeemed_day = latest.redeemed_day,
      budget_day = latest.budget_day or 0, budget_start = latest.budget_start or 0,
      slot = latest.slot or 0, slot_start = latest.slot_start or 0,
    }
    item.counters[number] = counters
  end
  return counters
end

local function customer_of(call, item, number, campaign)
  local customer = item.customers[number]
  if not customer then
    local key, field = keys.customer(call.tag, number, campaign.customer_buckets, item.customer)
    local redeemed, day, today = unpack_customer(read(call, key, field))
    customer = { redeemed = redeemed, day = day, today = today, key = key, field = field }
    item.customers[number] = customer
  end
  return customer
end

-- Begins a day or a slot, unless it is the one that `period` says: `field` then has the value of its start.
local function begin_period(counters, period, current, field, start)
  if counters[period] ~= current then
    counters[period] = current
    counters[field] = start
  end
end

-- The first limit of a customer that has no room for one more redemption, or nil.
local function customer_limit(campaign, customer)
  if campaign.limit_customer and customer.redeemed >= campaign.limit_customer then return CUSTOMER_LIMIT end
  if campaign.limit_customer_day and customer.today >= campaign.limit_customer_day then return CUSTOMER_DAY_LIMIT end
  return nil
end

-- Whether a slot's share is used up. With carry-over the day is looked at, so that what earlier slots left over is
-- there, and what was redeemed before carry-over was switched on is not forgotten.
local function slot_is_full(counters, token)
  if token.slot == 0 then return false end
  local redeemed = token.carries and counters.redeemed_day or counters.redeemed - counters.slot_start
  return redeemed >= token.slot_limit
end

-- The first limit of a campaign that has no room for a token, or nil.
local function campaign_limit(campaign, counters, token)
  if campaign.limit_day and counters.redeemed_day >= campaign.limit_day then return DAY_LIMIT end
  if slot_is_full(counters, token) then return SLOT_LIMIT end
  if campaign.limit_redemptions and counters.redeemed >= campaign.limit_redemptions then return CAMPAIGN_LIMIT end
  local spent = counters.discount + token.discount
  if spent > (campaign.limit_budget or MINOR_MAX) then return BUDGET_EXHAUSTED end
  if campaign.limit_budget_day and spent - counters.budget_start > campaign.limit_budget_day then return BUDGET_DAY end
  return nil
end

-- Counts one redemption against the limits, or returns the first limit that has no room.
local function count(call, item, token, campaign)
  local counters = counters_of(call, item, token.campaign, campaign)
  begin_period(counters, 'day', token.day, 'redeemed_day', 0)
  begin_period(counters, 'budget_day', token.day, 'budget_start', counters.discount)
  if token.slot > 0 then begin_period(counters, 'slot', token.slot, 'slot_start', counters.redeemed) end
  local customer, limit = nil, nil
  if item.has_customer then
    customer = customer_of(call, item, token.campaign, campaign)
    begin_period(customer, 'day', token.day, 'today', 0)
    limit = customer_limit(campaign, customer)
  end
  limit = limit or campaign_limit(campaign, counters, token)
  if limit then return limit end
  counters.redeemed = counters.redeemed + 1
  counters.redeemed_day = counters.redeemed_day + 1
  counters.discount = counters.discount + token.discount
  counters.merchant = counters.merchant + token.merchant
  if customer then
    customer.redeemed = customer.redeemed + 1
    customer.today = customer.today + 1
  end
  return APPROVED
end

-- The verdict on one token: the server's judgement, unless the ledger knows a reason of higher precedence.
local function rank_of(call, item, token, campaign)
  if not campaign or token.serial >= campaign.issued then return TOKEN_INVALID end
  local rank, coupon = token.outcome, token.coupon
  if coupon and coupon.state == REDEEMED then
    rank = math.min(rank, coupon.order == item.order and SAME_ORDER or ALREADY_REDEEMED)
  end
  local holder = token.bound and item.has_customer and item.customer
  if rank > REVOKED and is_revoked(call, token.campaign, campaign, token.serial, holder) then return REVOKED end
  if rank ~= APPROVED then return rank end
  return count(call, item, token, campaign)
end

-- What the outbox says of a redemption; the merchants' share stands there when there is one.
local function redeemed_event(item, token)
  return { 'redeemed', token.campaign, token.serial, token.generation, token.discount, item.request, item.order,
    item.customer, token.merchant > 0 and token.merchant or nil }
end

-- Stages all of an approved item. Nothing here can fail.
local function stage_item(call, item, request_key, request_field)
  for index = 1, #item.tokens do
    local token = item.tokens[index]
    stage(call, token.key, token.field, pack_used_coupon(call.seconds, item.request, item.order, item.customer,
      token.discount, token.generation))
    call.events[#call.events + 1] = redeemed_event(item, token)
  end
  for _, customer in pairs(item.customers) do stage(call, customer.key, customer.field, pack_customer(customer)) end
  for number, counters in pairs(item.counters) do call.counters[number] = counters end
  stage(call, request_key, request_field, pack_request(item.content, call.seconds, item.tokens, item.answer))
end

-- Reads the coupons of an item. Returns whether every one was used by this very request.
local function read_coupons(call, item)
  local mine = true
  for index = 1, #item.tokens do
    local token = item.tokens[index]
    local campaign = campaign_of(call, token.campaign)
    if campaign then
      token.key, token.field = keys.used(call.tag, token.campaign, campaign.width, token.serial)
      local stored = read(call, token.key, token.field)
      if stored then
        token.coupon = unpack_coupon(stored)
        token.generation = token.coupon.generation
      end
    end
    local coupon = token.coupon
    mine = mine and coupon and coupon.state == REDEEMED and coupon.request == item.request
      and coupon.order == item.order
  end
  return mine
end

local function used_already(tokens)
  local reply = 'U'
  for index = 1, #tokens do
    local coupon = tokens[index].coupon
    reply = reply .. struct.pack('>I4I2I8', coupon.redeemed_at, coupon.generation, coupon.discount)
  end
  return reply
end

local function refusal(tokens)
  local reply = 'N'
  for index = 1, #tokens do
    local token = tokens[index]
    local coupon = token.coupon
    reply = reply .. struct.pack('>I2I4I2I8', token.rank, coupon and coupon.redeemed_at or 0, token.generation,
      coupon and coupon.discount or 0)
  end
  return reply
end

local function redeem(call, packed, stale)
  local item = unpack_item(packed)
  local remembered, request_key, request_field = read_request(call, item.request)
  if remembered then
    if request_content(remembered) ~= item.content then return 'M' end
    return 'P' .. remembered:sub(1, 1) .. remembered:sub(10)
  end
  local tokens = item.tokens
  if read_coupons(call, item) then return used_already(tokens) end
  local unfit = misfit(call, tokens, item.since, item.until_, stale)
  if unfit then return unfit end
  local approved = true
  for index = 1, #tokens do
    local token = tokens[index]
    token.rank = rank_of(call, item, token, campaign_of(call, token.campaign))
    approved = approved and token.rank == APPROVED
  end
  if not approved then return refusal(tokens) end
  stage_item(call, item, request_key, request_field)
  local reply = struct.pack('>c1I4', 'A', call.seconds)
  for index = 1, #tokens do reply = reply .. struct.pack('>I2', tokens[index].generation) end
  return reply
end

-- issue: takes a block of serials for minting, durable before the first token or code is shown.
--
-- KEYS[1]  the program's tag
-- ARGV     what the server knows of the ledger (see call.lua) · event stream bound · campaign · version (0 only asks
--          for a block that was issued before) · count · request digest · content digest · not before · expires at (Unix
--          seconds: when the coupons are valid) · key id (what signs them) · offer · its quota (0: none) · day (days
--          since 1970, campaign's zone) · since · until (Unix ms, half-open: when all this holds)
-- Replies  head · first serial · not before · expires at · key id (empty if it was not remembered), or head · a word:
--          none, mismatch, stale, recheck, limit (no room, and then which limit: issued, offer or day; and how many are left)
-- Invariant: serials below `issued` were handed out once each; the same request gets the same block; `issued` is the
--            sum of `issued:<offer>`.

local SERIALS = 2 ^ 40
local ISSUING_FIELDS = {
  'limit_issued', 'limit_issued_day', 'limit_claims_customer', 'limit_claims_person',
  'issue_day', 'issued_day', 'claimed',
}

-- What a campaign has issued and may issue, as this call sees it, read once. `issued` itself is the campaign's own.
local function issuing_of(call, number)
  call.issuing = call.issuing or {}
  local issuing = call.issuing[number]
  if not issuing then
    local values = redis.call('HMGET', keys.campaign(call.tag, number), unpack(ISSUING_FIELDS))
    issuing = {}
    for index, field in ipairs(ISSUING_FIELDS) do
      local value = values[index]
      -- A limit that cannot be read is not taken for none.
      issuing[field] = value and (tonumber(value) or error('campaign record whose ' .. field .. ' is no number')) or nil
    end
    call.issuing[number] = issuing
  end
  return issuing
end

local function issued_of_offer(call, number, offer)
  return tonumber(read(call, keys.campaign(call.tag, number), 'issued:' .. offer) or 0)
end

-- How many more coupons of an offer may be issued today, and which limit is the closest.
local function room(call, number, offer, quota, day)
  local issuing = issuing_of(call, number)
  local left, limit = (issuing.limit_issued or SERIALS) - campaign_of(call, number).issued, 'issued'
  if quota > 0 and quota - issued_of_offer(call, number, offer) < left then
    left, limit = quota - issued_of_offer(call, number, offer), 'offer'
  end
  if issuing.limit_issued_day then
    local today = issuing.issue_day == day and issuing.issued_day or 0
    if issuing.limit_issued_day - today < left then left, limit = issuing.limit_issued_day - today, 'day' end
  end
  return math.max(left, 0), limit
end

-- Stages that coupons of an offer were issued, and returns the first serial.
local function take(call, number, offer, day, count)
  local issuing, first = issuing_of(call, number), campaign_of(call, number).issued
  local key = keys.campaign(call.tag, number)
  issuing.issued_day = (issuing.issue_day == day and issuing.issued_day or 0) + count
  issuing.issue_day = day
  stage_campaign(call, number, { issued = first + count })
  stage(call, key, 'issued:' .. offer, number_text(issued_of_offer(call, number, offer) + count))
  stage(call, key, 'issue_day', number_text(day))
  stage(call, key, 'issued_day', number_text(issuing.issued_day))
  return first
end

local function issue(key_names, args)
  local call = begin(key_names[1], args[1])
  local number, version, count = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  local request, content = args[6], args[7]
  local remembered = read_request(call, request)
  if remembered then
    if request_content(remembered) ~= content then return { head(call), 'mismatch' } end
    return { head(call), string.match(request_text(remembered), '^(%d+) (%d+) (%d+) ?(%d*)$') }
  end
  if version == 0 then return { head(call), 'none' } end
  local campaign = campaign_of(call, number)
  if not campaign or campaign.version ~= version then return { head(call), 'stale' } end
  if call.now < tonumber(args[14]) or call.now >= tonumber(args[15]) then return { head(call), 'recheck' } end
  local offer, day = tonumber(args[11]), tonumber(args[13])
  local left, limit = room(call, number, offer, tonumber(args[12]), day)
  if count > left then return { head(call), 'limit', limit, number_text(left) } end
  local first = take(call, number, offer, day, count)
  local block = { number_text(first), args[8], args[9], args[10] }
  local request_key, field = keys.request(call.tag, call.generation, request)
  stage(call, request_key, field, pack_request_text(content, table.concat(block, ' ')))
  call.events[1] = { 'issued', number, first, count, request, offer }
  apply(call, args[2])
  return { head(call), unpack(block) }
end

-- codes: stores the digests of exchange codes, durable before the codes are shown.
--
-- KEYS[1]  the program's tag
-- ARGV     what the server knows of the ledger (see call.lua) · event stream bound · campaign · offer · key id (what made
--          the codes) · not before · expires at (Unix seconds; both 0: counted from the claim) · first serial · the
--          digests of its and the following serials' codes, 10 bytes each
-- Replies  head · ok, head · archived, or head · taken · the serial whose code is another coupon's already (then nothing
--          was stored)
-- Invariant: a code is one coupon's for good; storing it again changes nothing.

-- Code: format 1 · coupon, when it was not claimed; format 2 · request digest 10 · content digest 8 · claim, when it
-- was.
-- coupon: campaign 4 · offer 2 · serial 8 · not before 4 · expires at 4 · key id 4.
-- claim: claimed at 4 (Unix seconds), then the coupon as it was claimed, with the key that signed its token.
local COUPON = '>I4I2I8I4I4I4'
local COUPON_BYTES, CLAIM_BYTES, CODE_BYTES = 26, 30, 10

local function pack_code(coupon) return struct.pack('>B', 1) .. coupon end

local function pack_claimed_code(request, content, claim)
  return struct.pack('>Bc10c8', 2, request, content) .. claim
end

local function unpack_code(value)
  local format = value:byte(1)
  if format == 1 and #value == 1 + COUPON_BYTES then
    local campaign, offer, serial, not_before, expires_at, key_id = struct.unpack(COUPON, value, 2)
    return { coupon = value:sub(2), campaign = campaign, offer = offer, serial = serial, not_before = not_before,
      expires_at = expires_at, key_id = key_id }
  end
  if format == 2 and #value == 19 + CLAIM_BYTES then
    return { claimed_by = value:sub(2, 11), content = value:sub(12, 19), claim = value:sub(20),
      campaign = struct.unpack('>I4', value, 24), serial = struct.unpack('>I8', value, 30) }
  end
  error('code record of unknown format ' .. (format or 'none'))
end

-- The campaign of a code, read for itself: the archive looks at many.
local function campaign_of_code(value)
  local format = value:byte(1)
  if format > 2 then error('code record of unknown format ' .. format) end
  return (struct.unpack('>I4', value, format == 1 and 2 or 24))
end

local function codes(key_names, args)
  local call = begin(key_names[1], args[1])
  local number, first, digests = tonumber(args[3]), tonumber(args[8]), args[9]
  local campaign = campaign_of(call, number)
  if not campaign or first + #digests / CODE_BYTES > campaign.issued then
    error({ err = 'UNISSUED codes of serials that were never issued' })
  end
  if is_archived(call, number) then return { head(call), 'archived' } end
  local stored = false
  for index = 0, #digests / CODE_BYTES - 1 do
    local serial = first + index
    local key, field = keys.code(call.tag, digests:sub(index * CODE_BYTES + 1, (index + 1) * CODE_BYTES))
    local present = read(call, key, field)
    if present then
      local code = unpack_code(present)
      if code.campaign ~= number or code.serial ~= serial then return { head(call), 'taken', number_text(serial) } end
    else
      stage(call, key, field, pack_code(struct.pack(COUPON, number, tonumber(args[4]), serial, tonumber(args[6]),
        tonumber(args[7]), tonumber(args[5]))))
      stored = true
    end
  end
  if stored then
    stage(call, keys.campaign(call.tag, number), 'codes', '1') -- so that archiving looks for them
    apply(call, args[2])
  end
  return { head(call), 'ok' }
end

-- claim (C): hands one coupon to a customer, of an offer or for an exchange code.
--
-- Item     big-endian: request digest 10 · content digest 8 · campaign 4 (0: a code of which the server does not know
--          yet what it stands for) · version 4 · offer 2 · its quota 8 (0: none) · outcome 2 (as the server judged it) ·
--          not before 4 · expires at 4 (Unix seconds: when the coupon is valid) · key id 4 (what signs its token) ·
--          day 2 (days since 1970, campaign's zone) · since 8 · until 8 (Unix ms, half-open: when the judgement holds) ·
--          has customer 1 · customer digest 8 · has person 1 · person digest 8 · has code 1 · code digest 10
-- Replies  beside those of batch.lua; coupon and claim as code.lua says:
--   A approved: claim · P remembered: claim
--   L judge again, for this is what the code stands for: coupon
--   N refused: outcome 2 · only today's share is used up 1 · M the request id stands for other content
-- Invariant: a request gets one coupon, a code is claimed once, no limit is passed, and a serial is handed out once.

local CLAIM_ITEM = '>c10c8I4I4I2I8I2I4I4I4I2I8I8Bc8Bc8Bc10'
local REVOKED, CLAIM_LIMIT, ISSUE_LIMIT, CODE_INVALID = 100, 500, 510, 520

local function unpack_claim(packed)
  local item = {}
  item.request, item.content, item.campaign, item.version, item.offer, item.quota, item.outcome, item.not_before,
    item.expires_at, item.key_id, item.day, item.since, item.until_, item.has_customer, item.customer, item.has_person,
    item.person, item.has_code, item.code = struct.unpack(CLAIM_ITEM, packed, 2)
  return item
end

local function refused(outcome, only_today) return struct.pack('>c1I2B', 'N', outcome, only_today and 1 or 0) end

-- Claims of a customer (c) or a person (p) of a campaign: format 1 · claims 4.
local function claims_of(call, item, kind, digest)
  local buckets = campaign_of(call, item.campaign).customer_buckets
  local key, field = keys.claims(call.tag, item.campaign, buckets, kind, digest)
  local value = read(call, key, field)
  if not value then return { key = key, field = field, count = 0 } end
  local format, count = struct.unpack('>BI4', value)
  if format ~= 1 then error('claims record of unknown format ' .. format) end
  return { key = key, field = field, count = count }
end

-- Says what the code stands for, or why it is not to be claimed (second value: the reply).
local function code_of(call, item)
  local key, field = keys.code(call.tag, item.code)
  local value = read(call, key, field)
  if not value then return nil, refused(CODE_INVALID) end
  local code = unpack_code(value)
  code.key, code.field = key, field
  if code.claimed_by then
    if code.claimed_by ~= item.request then return nil, refused(CODE_INVALID) end
    return nil, code.content == item.content and 'P' .. code.claim or 'M'
  end
  if code.campaign ~= item.campaign then return nil, 'L' .. code.coupon end
  return code
end

-- Stages all of an approved claim, and returns it. Nothing here can fail.
local function stage_claim(call, item, code, counts)
  local number, serial, offer = item.campaign, code and code.serial, item.offer
  if not code then serial = take(call, number, offer, item.day, 1) end
  local issuing = issuing_of(call, number)
  issuing.claimed = (issuing.claimed or 0) + 1
  stage(call, keys.campaign(call.tag, number), 'claimed', number_text(issuing.claimed))
  for _, counted in ipairs(counts) do
    stage(call, counted.key, counted.field, struct.pack('>BI4', 1, counted.count + 1))
  end
  local claim = struct.pack('>I4', call.seconds)
    .. struct.pack(COUPON, number, offer, serial, item.not_before, item.expires_at, item.key_id)
  if code then stage(call, code.key, code.field, pack_claimed_code(item.request, item.content, claim)) end
  local key, field = keys.request(call.tag, call.generation, item.request)
  stage(call, key, field, pack_request_text(item.content, claim))
  call.events[#call.events + 1] = { 'claimed', number, serial, offer, item.request, item.customer,
    item.has_person == 1 and item.person or '', code and 1 or 0, item.not_before, item.expires_at }
  return claim
end

local function claim(call, packed, stale)
  local item = unpack_claim(packed)
  local remembered = read_request(call, item.request)
  if remembered then
    if request_content(remembered) ~= item.content then return 'M' end
    return 'P' .. request_text(remembered)
  end
  local code, answer = nil, nil
  if item.has_code == 1 then
    code, answer = code_of(call, item)
    if not code then return answer end
  end
  local unfit = misfit(call, { item }, item.since, item.until_, stale)
  if unfit then return unfit end
  local outcome = item.outcome
  if code and is_revoked(call, item.campaign, campaign_of(call, item.campaign), code.serial, item.customer) then
    outcome = math.min(outcome, REVOKED)
  end
  if outcome ~= APPROVED then return refused(outcome) end
  local issuing = issuing_of(call, item.campaign)
  local counts = { claims_of(call, item, 'c', item.customer) }
  if item.has_person == 1 then counts[2] = claims_of(call, item, 'p', item.person) end
  if counts[1].count >= (issuing.limit_claims_customer or math.huge) then return refused(CLAIM_LIMIT) end
  if issuing.limit_claims_person and counts[2].count >= issuing.limit_claims_person then return refused(CLAIM_LIMIT) end
  if not code then
    local left, limit = room(call, item.campaign, item.offer, item.quota, item.day)
    if left < 1 then return refused(ISSUE_LIMIT, limit == 'day') end
  end
  return 'A' .. stage_claim(call, item, code, counts)
end

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

-- look: what the ledger knows of coupons and their campaigns at one moment, without changing anything.
--
-- KEYS[1]  the program's tag
-- ARGV[1]  what the server knows of the ledger (see call.lua)
-- ARGV[2]  the customer's digest, or empty
-- ARGV[3]  the coupons, big-endian: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · bound
--          to the customer 1
-- Replies  head · {number, version, definition, …} of the campaigns whose version was not the server's · and if there
--          are none, a string for the coupons, one SEEN_COUPON each, and one for the campaigns, one SEEN_CAMPAIGN each;
--          or a single string more, when a record cannot be read: why (for the log)

local ASKED_COUPON = '>I4I4I8B'
-- What it is (the sum of 1 issued, 2 revoked, 4 in use) · and of the present use: redeemed at 4 · generation 2 ·
-- discount 8 · order digest 6
local SEEN_COUPON = '>BI4I2I8c6'
-- Number · redeemed 8 · discount 8 · day 2 · redeemed on it 8 · discounted on it 8 · slot 4 · redeemed in it 8 ·
-- customer: redeemed 2 · day 2 · redeemed on it 2
local SEEN_CAMPAIGN = '>I4I8I8I2I8I8I4I8I2I2I2'
local ISSUED, TAKEN_BACK, IN_USE = 1, 2, 4
local UNUSED = { redeemed_at = 0, generation = 0, discount = 0, order = '\0\0\0\0\0\0' }

local function see_coupon(call, number, campaign, serial, holder)
  local kind, use = 0, UNUSED
  if campaign and serial < campaign.issued then
    kind = is_revoked(call, number, campaign, serial, holder) and ISSUED + TAKEN_BACK or ISSUED
    local key, field = keys.used(call.tag, number, campaign.width, serial)
    local stored = redis.call('HGET', key, field)
    local coupon = stored and unpack_coupon(stored)
    if coupon and coupon.state == REDEEMED then kind, use = kind + IN_USE, coupon end
  end
  return struct.pack(SEEN_COUPON, kind, use.redeemed_at, use.generation, use.discount, use.order)
end

local function see_campaign(call, number, campaign, customer)
  local redeemed, day, today = unpack_customer(customer ~= '' and redis.call('HGET',
    keys.customer(call.tag, number, campaign.customer_buckets, customer)))
  local budget_start = campaign.budget_day == campaign.day and campaign.budget_start or 0
  local discount_day = campaign.budget_day == campaign.day and campaign.discount - budget_start or 0
  local slot = campaign.slot or 0
  local redeemed_slot = slot > 0 and campaign.redeemed - (campaign.slot_start or 0) or 0
  return struct.pack(SEEN_CAMPAIGN, number, campaign.redeemed, campaign.discount, campaign.day, campaign.redeemed_day,
    discount_day, slot, redeemed_slot, redeemed, day, today)
end

local function see(call, asked, customer)
  local coupons, campaigns, numbers = {}, {}, {}
  for index, coupon in ipairs(asked) do
    local campaign = campaign_of(call, coupon.campaign)
    local holder = coupon.bound and customer ~= '' and customer
    coupons[index] = see_coupon(call, coupon.campaign, campaign, coupon.serial, holder)
    if campaign and not numbers[coupon.campaign] then
      numbers[coupon.campaign] = true
      campaigns[#campaigns + 1] = see_campaign(call, coupon.campaign, campaign, customer)
    end
  end
  return { table.concat(coupons), table.concat(campaigns) }
end

local function unpack_asked(packed)
  local asked, position = {}, 1
  while position <= #packed do
    local coupon, bound = {}, nil
    coupon.campaign, coupon.version, coupon.serial, bound, position = struct.unpack(ASKED_COUPON, packed, position)
    coupon.bound = bound == 1
    asked[#asked + 1] = coupon
  end
  return asked
end

local function look(key_names, args)
  local call = begin(key_names[1], args[1])
  local asked, stale = unpack_asked(args[3]), {}
  local ok, seen = pcall(function()
    return not misfit(call, asked, call.now, call.now + 1, stale) and see(call, asked, args[2])
  end)
  if not ok then return { head(call), {}, type(seen) == 'table' and seen.err or tostring(seen) } end
  if not seen then return { head(call), definitions(call, stale) } end
  return { head(call), {}, unpack(seen) }
end

-- create and update: the definition of a campaign, its limits and its layout.
--
-- KEYS[1]  the program's tag
-- ARGV     what the server knows of the ledger (see call.lua) · event stream bound · number (0 creates) · version
--          expected (0 creates) · name · definition · offers kept (1, or 0: an offer changed, so nothing may have been
--          minted) · request digest (creates only, else empty) · content digest · name of the state, if nothing else
--          differs from the version expected (else empty) · SHA-256 of the definition (hexadecimal) · then pairs of field
--          and value: limits (an empty value removes one), `ends_at` (when this definition stops being redeemed by, Unix
--          ms; 0: it is not) and, when creating, `width` and `customer_buckets`
-- Replies  head · number · version, or head · a word: exists (then the number), mismatch, gone, conflict, minted
-- Events   defined: number · version · definition (empty when it is larger than 4 KiB) · its SHA-256 (hexadecimal)
--          state_changed: number · version · name of the campaign · name of its state; nothing else was changed
--          The event stream is bounded in entries, not in bytes: so it has no definition that is large, nor one again.
-- Invariant: a version is raised by every change and never reused; a name belongs to one campaign.

local EVENT_DEFINITION_BYTES_MAX = 4096

local function state_changed(number, version, name, state) return { 'state_changed', number, version, name, state } end

local function defined(number, version, definition, digest)
  return { 'defined', number, version, #definition <= EVENT_DEFINITION_BYTES_MAX and definition or '', digest }
end

local function remembered_campaign(call, request, content)
  local remembered = read_request(call, request)
  if not remembered then return nil end
  if request_content(remembered) ~= content then return { head(call), 'mismatch' } end
  return { head(call), request_text(remembered), '1' }
end

local function create(call, args)
  local name, request, content = args[5], args[8], args[9]
  local remembered = remembered_campaign(call, request, content)
  if remembered then return remembered end
  local taken = redis.call('HGET', keys.names(call.tag), name)
  if taken then return { head(call), 'exists', taken } end
  local last = tonumber(redis.call('HGET', keys.ledger(call.tag), 'campaigns') or 0)
  local number = last + 1
  while redis.call('EXISTS', keys.campaign(call.tag, number)) == 1 do number = number + 1 end
  stage(call, keys.ledger(call.tag), 'campaigns', number_text(number))
  stage(call, keys.names(call.tag), name, number_text(number))
  for _, counter in ipairs({ 'issued', 'redeemed', 'discount', 'day', 'redeemed_day' }) do
    stage(call, keys.campaign(call.tag, number), counter, '0')
  end
  local request_key, field = keys.request(call.tag, call.generation, request)
  stage(call, request_key, field, pack_request_text(content, number_text(number)))
  return nil, number, 1
end

local function update(call, args, number)
  local key = keys.campaign(call.tag, number)
  local values = redis.call('HMGET', key, 'version', 'name', 'issued', 'ends_at', 'open_until')
  if not values[1] then return { head(call), 'gone' } end
  local version, name, old_name = tonumber(values[1]), args[5], values[2]
  if version ~= tonumber(args[4]) then return { head(call), 'conflict' } end
  if args[7] == '0' and tonumber(values[3]) > 0 then return { head(call), 'minted' } end
  if name ~= old_name then
    local taken = redis.call('HGET', keys.names(call.tag), name)
    if taken and tonumber(taken) ~= number then return { head(call), 'exists', taken } end
    stage(call, keys.names(call.tag), name, number_text(number))
  end
  -- Until when a definition before this one can have been redeemed by: the return window counts from the latest of all.
  local open_until = math.min(tonumber(values[4] or call.now), call.now)
  stage(call, key, 'open_until', number_text(math.max(open_until, tonumber(values[5] or 0))))
  return nil, number, version + 1, old_name ~= name and old_name
end

local function define(key_names, args)
  local call = begin(key_names[1], args[1])
  local number = tonumber(args[3])
  local refused, version, dropped_name
  if number == 0 then
    refused, number, version = create(call, args)
  else
    refused, number, version, dropped_name = update(call, args, number)
  end
  if refused then return refused end
  local key = keys.campaign(call.tag, number)
  stage(call, key, 'version', number_text(version))
  stage(call, key, 'name', args[5])
  stage(call, key, 'definition', args[6])
  local dropped = {}
  for index = 12, #args, 2 do
    if args[index + 1] == '' then
      dropped[#dropped + 1] = args[index]
    else
      stage(call, key, args[index], args[index + 1])
    end
  end
  call.events[1] = args[10] == '' and defined(number, version, args[6], args[11])
    or state_changed(number, version, args[5], args[10])
  apply(call, args[2])
  if #dropped > 0 then redis.call('HDEL', key, unpack(dropped)) end
  if dropped_name then redis.call('HDEL', keys.names(call.tag), dropped_name) end
  return { head(call), number_text(number), number_text(version) }
end

-- archive and archive_step: removes the records of a campaign that is long over, some at a time, and leaves its totals.
--
-- KEYS[1]  the program's tag
-- ARGV     what the server knows of the ledger (see call.lua) · event stream bound · campaign, and for `archive` also:
--          version expected · definition (archived) · return window (ms) · ends at · changed at (Unix ms, as the
--          definition says: for a record of a version that did not write down until when it was open)
-- Replies  archive       head · version, or head · a word: gone, conflict, early (and from when on it is possible,
--                        Unix ms)
--          archive_step  head · how many places were looked at · of how many; or head · gone (archiving has not begun)
-- Invariant: `archive` changes the version, so nothing is redeemed, claimed or issued from there on, and revoking and
--            storing codes look at the field `archive`: no key of the campaign appears behind the back of the steps.
--            A step writes down how far it came together with what it removed, so any step may be the last for a while.

-- Keys that one call removes, and codes that it looks at: orders wait behind it, for about a millisecond.
local ARCHIVED_AT_ONCE = 256
local CODE_BUCKETS = 16384

-- What is removed, in this order: each part has so many keys, by their positions. The field `archive` of a campaign
-- names the part and the next position in it, or says 'done'; a new part goes to the end.
local ARCHIVE_PARTS = {
  { name = 'used', key = keys.used_block },
  { name = 'customer', key = keys.customer_bucket },
  { name = 'claims', key = keys.claims_bucket },
  { name = 'revoked', key = keys.revoked },
  { name = 'revoked_customers', key = keys.revoked_customers },
  { name = 'code', key = keys.code_bucket },
}

local function archive(key_names, args)
  local call = begin(key_names[1], args[1])
  local number = tonumber(args[3])
  local key = keys.campaign(call.tag, number)
  local values = redis.call('HMGET', key, 'version', 'ends_at', 'open_until', 'name')
  if not values[1] then return { head(call), 'gone' } end
  local version = tonumber(values[1])
  if version ~= tonumber(args[4]) then return { head(call), 'conflict' } end
  local last_use = math.max(tonumber(values[2] or args[7]), tonumber(values[3] or values[2] and 0 or args[8]))
  local possible_at = last_use + tonumber(args[6])
  if call.now < possible_at then return { head(call), 'early', number_text(possible_at) } end
  stage(call, key, 'version', number_text(version + 1))
  stage(call, key, 'definition', args[5])
  stage(call, key, 'archive', 'used 0')
  call.events = { state_changed(number, version + 1, values[4] or '', 'ARCHIVED'), { 'archiving', number, version + 1 } }
  apply(call, args[2])
  return { head(call), number_text(version + 1) }
end

-- How far the archiving of a campaign is: part (one behind the last when all is done), position in it, and the parts'
-- sizes; nil if it has not begun.
local function archive_of(call, number)
  local values = redis.call('HMGET', keys.campaign(call.tag, number), 'archive', 'issued', 'width', 'customer_buckets',
    'codes')
  if not values[1] then return nil end
  local buckets = tonumber(values[4])
  local way = { part = #ARCHIVE_PARTS + 1, position = 0,
    sizes = { math.ceil(values[2] / values[3]), buckets, buckets, 1, 1, values[5] and CODE_BUCKETS or 0 } }
  if values[1] == 'done' then return way end
  local name, position = string.match(values[1], '^(%S+) (%d+)$')
  for index, part in ipairs(ARCHIVE_PARTS) do
    if part.name == name then way.part = index end
  end
  if way.part > #ARCHIVE_PARTS then error('archive of an unknown part: ' .. values[1]) end
  way.position = tonumber(position)
  return way
end

-- The codes of a campaign in a bucket, at most so many; how many of all campaigns were looked at, and whether these
-- were the last of it there.
local function codes_in(key, number, most)
  local flat, found = redis.call('HGETALL', key), {}
  for index = 1, #flat, 2 do
    if campaign_of_code(flat[index + 1]) == number then
      if #found == most then return found, #flat / 2, false end
      found[#found + 1] = flat[index]
    end
  end
  return found, #flat / 2, true
end

-- Moves on by what one call may remove; returns the keys that go, and the fields that go, by key.
local function advance(call, number, way)
  local dead, fields, room = {}, {}, ARCHIVED_AT_ONCE
  while way.part <= #ARCHIVE_PARTS and room > 0 do
    local part = ARCHIVE_PARTS[way.part]
    if way.position >= way.sizes[way.part] then
      way.part, way.position = way.part + 1, 0
    elseif part.name == 'code' then
      local key = part.key(call.tag, way.position)
      local found, looked_at, last = codes_in(key, number, ARCHIVED_AT_ONCE)
      if #found > 0 then fields[key] = found end
      if not last then break end
      way.position, room = way.position + 1, room - 1 - looked_at
    else
      dead[#dead + 1] = part.key(call.tag, number, way.position)
      way.position, room = way.position + 1, room - 1
    end
  end
  return dead, fields
end

local function archive_step(key_names, args)
  local call = begin(key_names[1], args[1])
  local number = tonumber(args[3])
  local way = archive_of(call, number)
  if not way then return { head(call), 'gone' } end
  if way.part <= #ARCHIVE_PARTS then
    local dead, fields = advance(call, number, way)
    local done = way.part > #ARCHIVE_PARTS
    local progress = done and 'done' or ARCHIVE_PARTS[way.part].name .. ' ' .. number_text(way.position)
    stage(call, keys.campaign(call.tag, number), 'archive', progress)
    if done then call.events[1] = { 'archived', number } end
    apply(call, args[2])
    if #dead > 0 then redis.call('UNLINK', unpack(dead)) end
    for key, found in pairs(fields) do redis.call('HDEL', key, unpack(found)) end
  end
  local total, passed = 0, way.position
  for index, size in ipairs(way.sizes) do
    total = total + size
    if index < way.part then passed = passed + size end
  end
  return { head(call), number_text(passed), number_text(total) }
end

-- Reads that write nothing.
--
-- KEYS[1] the program's tag · ARGV[1] what the server knows of the ledger (see call.lua; status takes none)
-- campaigns      ARGV first · of this number and each one that follows the version at hand (empty: none): replies a list
--                of number, version, definition (empty: it is the one at hand), for those that exist
-- named          ARGV name: replies the number of the campaign that has it, or nothing
-- counters       ARGV campaign: replies clock (ms), then the fields of COUNTER_FIELDS, or nothing
-- coupon         ARGV campaign · serial: replies what is seen of it (see look.lua)
-- request        ARGV request digest: replies the record of an approval, or nothing
-- status         replies the header as field, value, …, and the length of the event stream

local COUNTER_FIELDS = { 'issued', 'redeemed', 'discount', 'day', 'redeemed_day', 'merchant', 'claimed' }

local function campaigns(key_names, args)
  local call = begin(key_names[1], args[1])
  local found = {}
  for index = 3, #args do
    local number = tonumber(args[2]) + index - 3
    local key = keys.campaign(call.tag, number)
    local version = redis.call('HGET', key, 'version')
    if version then
      local is_at_hand = version == args[index]
      found[#found + 1] = number
      found[#found + 1] = tonumber(version) or 0
      found[#found + 1] = is_at_hand and '' or redis.call('HGET', key, 'definition') or ''
    end
  end
  return found
end

local function named(key_names, args)
  local call = begin(key_names[1], args[1])
  return redis.call('HGET', keys.names(call.tag), args[2])
end

local function counters(key_names, args)
  local call = begin(key_names[1], args[1])
  local values = redis.call('HMGET', keys.campaign(call.tag, tonumber(args[2])), unpack(COUNTER_FIELDS))
  if not values[1] then return {} end
  return { number_text(call.now), unpack(values) }
end

local function coupon(key_names, args)
  local call = begin(key_names[1], args[1])
  local number = tonumber(args[2])
  return see_coupon(call, number, campaign_of(call, number), tonumber(args[3]), false)
end

local function request(key_names, args)
  local call = begin(key_names[1], args[1])
  local value = read_request(call, args[2])
  return value and is_approval(value) and value or false
end

local function status(key_names)
  local header = redis.call('HGETALL', keys.ledger(key_names[1]))
  header[#header + 1] = 'events'
  header[#header + 1] = redis.call('XLEN', keys.events(key_names[1]))
  return header
end

-- open and adopt: who may call a program's ledger their own.
--
-- KEYS[1]  the program's tag
-- open     ARGV keyset id · epoch (16 hexadecimal digits) to give birth with, or empty: replies the header as
--          field, value, …, or nothing when there is no ledger and none may be born
-- adopt    ARGV what the machine knows (see call.lua) · keyset id · new epoch: accepts what is there, or gives birth.
--          From now on it has the new epoch, so that every machine that remembers another one must be told too. Nothing
--          changes when it is the ledger that the machine knows already, or when another machine adopted that very one.
--          Replies like open.
-- Invariant: an epoch is random and never reused; `seq` only rises.

local FORMAT = '2' -- how keys and records are spelled, see ledger/trust/durability.py

local function write_header(tag, keyset, epoch)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local generation = math.floor(now / GENERATION_MS)
  local header = keys.ledger(tag)
  redis.call('XLEN', keys.events(tag))
  redis.call('HSET', header, 'format', FORMAT, 'epoch', epoch, 'keyset', keyset)
  redis.call('HSETNX', header, 'seq', '0')
  redis.call('HSETNX', header, 'clock', number_text(now))
  redis.call('HSETNX', header, 'reaped', number_text((generation - 1) * REQUEST_BUCKETS))
  redis.call('HINCRBY', header, 'seq', 1)
end

local function open(key_names, args)
  local header = keys.ledger(key_names[1])
  if redis.call('EXISTS', header) == 0 and args[2] ~= '' then write_header(key_names[1], args[1], args[2]) end
  return redis.call('HGETALL', header)
end

local function adopt(key_names, args)
  local header, known = keys.ledger(key_names[1]), args[1]
  local found = redis.call('HMGET', header, 'format', 'epoch', 'adopted_from', 'keyset', 'seq')
  if found[2] and (found[1] ~= FORMAT or not tonumber(found[5])) then
    error({ err = 'UNREADABLE the header is of another format, or damaged' })
  end
  local mine = found[2] and found[4] == args[2] and known ~= ''
  local as_known = mine and found[2] == known:sub(1, 16) and tonumber(found[5]) >= tonumber(known:sub(17))
  local adopted_elsewhere = mine and found[3] == known:sub(1, 16)
  if not as_known and not adopted_elsewhere then
    write_header(key_names[1], args[2], args[3])
    if found[2] then redis.call('HSET', header, 'adopted_from', found[2]) end
  end
  return redis.call('HGETALL', header)
end

-- Gives the functions their names. The suffix is a digest of this library's own text, so that old and new servers of one
-- format of the ledger can work side by side during a deploy, each with its own.

local function register(name, callback, flags)
  redis.register_function({ function_name = name .. '_' .. SUFFIX, callback = callback, flags = flags or {} })
end

register('batch', batch)
register('issue', issue)
register('codes', codes)
register('revoke_serials', revoke_serials)
register('revoke_customer', revoke_customer)
register('define', define)
register('archive', archive)
register('archive_step', archive_step)
register('open', open)
register('adopt', adopt)
register('look', look, { 'no-writes' })
register('campaigns', campaigns, { 'no-writes' })
register('named', named, { 'no-writes' })
register('counters', counters, { 'no-writes' })
register('coupon', coupon, { 'no-writes' })
register('request', request, { 'no-writes' })
register('status', status, { 'no-writes' })

