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
