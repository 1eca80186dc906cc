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
