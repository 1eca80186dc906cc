-- claim (C): gives one coupon to a customer, of an offer or for an exchange code.
--
-- Item     big-endian: C · request digest 10 · content digest 8 · campaign 4 (0: the first round of a code; the server
--          does not know yet which coupon it stands for) · version 4 · offer 2 · its quota 8 (0: none) · outcome 2 (the
--          server's judgement; in a first round: CODE_INVALID, or why the code is not looked up) · not before 4 · expires at 4 (Unix seconds: when the coupon is valid) · id of the key that signs
--          its token 4 · day 2 (days since 1970, campaign's zone) ·
--          since 8 · until 8 (Unix ms; the judgement holds from since on and before until) ·
--          version of the rules 4 · has customer 1 · customer digest 8 · has person 1 · person digest 8 · has code 1 ·
--          code digest 10 · bytes of the principal 1 · the principal · checks (velocity.lua)
-- Replies  beside those of batch.lua; codes.lua describes coupon and claim:
--   A approved: claim
--   P approved before: claim
--   L outdated: the code stands for this coupon, of another campaign than the server judged: coupon
--   N refused: outcome 2 · 1 if only the limit of the day has no room, else 0 (1 byte)
--   M the request id stands for other content
-- Event    claimed: principal · campaign · serial · offer · request digest · customer digest · person digest (empty:
--          none) · 1 if for a code, else 0 · not before · expires at (Unix seconds)
-- Invariant: a request gets one coupon, a code is claimed once, no limit is passed, and a serial is issued once.
--
-- The first round of a code has the checks of the rules of all campaigns. They are decided before the code is looked up:
-- while they refuse, a right code and a wrong one have the same answer. A wrong code is counted in its first round, a
-- right one in its second, which has the checks of its campaign's rules too.

local claim = {}

local ITEM = '>c10c8I4I4I2I8I2I4I4I4I2I8I8I4Bc8Bc8Bc10Bc0'
local PRINCIPAL_LENGTH = 103 -- its position in an item, whose first byte is 1
local APPROVED, REVOKED = OUTCOME.APPROVED, OUTCOME.REVOKED
local CODE_INVALID, ISSUE_LIMIT = OUTCOME.CODE_INVALID, OUTCOME.ISSUE_LIMIT
local VELOCITY_EXCEEDED = OUTCOME.VELOCITY_EXCEEDED

-- The claim that was decided last: what is to be counted, and its event. taken: a new serial is issued.
local decided = {
  campaign = false, offer = 0, day = 0, taken = false, event = '', approved = false, has_checks = false,
}

local function unpack_claim(packed)
  local item, has_person = {}, 0
  item.request, item.content, item.campaign, item.version, item.offer, item.quota, item.outcome, item.not_before,
    item.expires_at, item.key_id, item.day, item.since, item.until_, item.rules, item.has_customer, item.customer,
    has_person, item.person, item.has_code, item.code, item.principal, item.checks_at = struct.unpack(ITEM, packed, 2)
  if has_person == 0 then item.person = false end
  return item
end

local function refused(outcome, only_today) return struct.pack('>c1I2B', 'N', outcome, only_today and 1 or 0) end

-- Returns the record of a code that can be claimed; else nil and the reply.
local function code_of(call, item)
  local key, field = keys.code(call.tag, item.code)
  local value = redis.call('HGET', key, field)
  if not value then return nil, refused(CODE_INVALID) end
  local code = codes.unpack_code(value)
  code.key, code.field = key, field
  if code.claimed_by then
    if code.claimed_by ~= item.request then return nil, refused(CODE_INVALID) end
    return nil, code.content == item.content and 'P' .. code.claim or 'M'
  end
  if code.campaign ~= item.campaign then return nil, 'L' .. code.coupon end
  return code
end

-- Plans the writes of an approved claim, and returns the packed claim.
local function decide_approval(call, item, campaign, code, request_key)
  local serial = code and code.serial or campaign.issued
  local given = struct.pack('>I4', call.seconds)
    .. codes.pack_coupon(campaign.number, item.offer, serial, item.not_before, item.expires_at, item.key_id)
  if code then frame.plan(code.key, code.field, codes.pack_claimed(item.request, item.content, given)) end
  local key, field = idempotency.place_digest(call, item.request, request_key)
  frame.plan(key, field, records.pack_request_text(item.content, given))
  decided.campaign, decided.offer, decided.day, decided.taken = campaign, item.offer, item.day, not code
  decided.event = cmsgpack.pack({ 'claimed', item.principal, campaign.number, serial, item.offer, item.request,
    item.customer, item.person or '', code and 1 or 0, item.not_before, item.expires_at })
  return given
end

-- Where the checks of an item begin.
function claim.checks_at(packed) return PRINCIPAL_LENGTH + 1 + packed:byte(PRINCIPAL_LENGTH) end

-- Decides a claim that is neither remembered nor outdated; returns the reply, and whether it is approved.
local function decide_new(call, item, campaign, code, outcome, request_key)
  if outcome ~= APPROVED then return refused(outcome), false end
  local full = limits.decide_claim(call, campaign, item.customer, item.person)
  if full then return refused(full), false end
  if not code then
    local left, limit = limits.decide_issue(campaign, item.offer, item.quota, item.day)
    if left < 1 then return refused(ISSUE_LIMIT, limit == 'day'), false end
  end
  return 'A' .. decide_approval(call, item, campaign, code, request_key), true
end

-- Decides the first round of a code: it finds the coupon, or it is refused.
local function decide_first_round(call, packed, item)
  local checks, outcome = packed:byte(item.checks_at), item.outcome
  decided.approved, decided.has_checks = false, checks > 0
  if decided.has_checks then
    velocity.decide(call, checks, item.has_customer == 1 and item.customer)
    if velocity.refuses(0) then outcome = math.min(outcome, VELOCITY_EXCEEDED) end
  end
  local reply, is_refused = refused(outcome), true
  if outcome == CODE_INVALID then
    local _, answer = code_of(call, item)
    reply, is_refused = answer, answer == reply
  end
  if not is_refused or not decided.has_checks then return reply, false end
  return velocity.reply(reply), velocity.counts_attempts()
end

-- Returns the reply; and true when `apply` is to be called.
function claim.decide(call, packed, stale)
  local item = unpack_claim(packed)
  frame.plan_nothing()
  local remembered, request_key = idempotency.find_digest(call, item.request)
  if remembered then
    if records.request_content(remembered) ~= item.content then return 'M' end
    return 'P' .. records.request_text(remembered)
  end
  local code, answer = nil, nil
  if item.has_code == 1 then
    -- Before the code is looked up: who is denied by the rules in force must not learn which codes there are.
    if item.rules ~= call.rules and rules.is_stale(call, item.rules) then return 'S' end
    if item.campaign == 0 then return decide_first_round(call, packed, item) end
    code, answer = code_of(call, item)
    if not code then return answer end
  end
  local campaign, outcome = campaigns.of(call, item.campaign), item.outcome
  local is_stale = campaigns.is_stale(campaign, item.campaign, item.version, stale)
  if item.rules ~= call.rules then is_stale = rules.is_stale(call, item.rules) end
  if is_stale then return 'S' end
  if call.now < item.since or call.now >= item.until_ then return 'C' end
  if code and campaign and revoke.is_revoked(call, campaign, code.serial, item.customer) then
    outcome = math.min(outcome, REVOKED)
  end
  local checks = packed:byte(item.checks_at)
  decided.has_checks = checks > 0
  if decided.has_checks then
    velocity.decide(call, checks, item.has_customer == 1 and item.customer)
    if velocity.refuses(item.campaign) then outcome = math.min(outcome, VELOCITY_EXCEEDED) end
  end
  local reply
  reply, decided.approved = decide_new(call, item, campaign, code, outcome, request_key)
  if not decided.has_checks then return reply, decided.approved end
  return velocity.reply(reply), decided.approved or velocity.counts_attempts()
end

-- Writes the claim that was decided last; of a refused one, only what velocity rules count.
function claim.apply(call)
  if decided.has_checks then velocity.apply(call, decided.approved) end
  if not decided.approved then return end
  frame.apply(call)
  local campaign = decided.campaign
  if decided.taken then limits.apply_issue(campaign, decided.offer, decided.day, 1) end
  limits.apply_claim(campaign)
  call.events[#call.events + 1] = decided.event
  call.remembered = call.remembered + 1
end

return claim
