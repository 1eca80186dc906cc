-- define: creates a campaign, or changes its definition, its limits and its layout.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5]   the principal
-- ARGV[6]   number (0 creates) · [7] version expected (0 creates) · [8] name · [9] definition
-- ARGV[10]  1 if no offer changes, else 0 (refused when coupons were issued)
-- ARGV[11]  request digest (empty for a change) · [12] content digest
-- ARGV[13]  name of the new state, if nothing else changes (else empty)
-- ARGV[14]  SHA-256 of the definition (hexadecimal)
-- ARGV[15]  the name's appearance: names that people take for the same have the same
-- ARGV[16…] pairs of field and value: limits (an empty value removes one), `ends_at` (until when this definition allows
--           redemptions, Unix ms; 0: it allows none), `paused` (1: the whole campaign is; a definition that was written
--           before this field existed has none) and, for a new campaign, `width` and `customer_buckets`
-- Replies  head · number · version, or head · a word: exists (the name is another campaign's; then its number), alike
--          (another campaign's name looks the same; then its number and its name), mismatch (the request id stands for
--          other content), gone (no such campaign), conflict (another version is in force), minted (an offer changes,
--          and coupons were issued)
-- Events   defined: principal · number · version · definition (empty when it is larger than 4 KiB) · its SHA-256
--          (hexadecimal)
--          state_changed (nothing else changed): principal · number · version · name of the campaign · name of its
--          state
--          The event stream is bounded in entries, not in bytes: so it has no large definition, and a change of the
--          state has none.
-- Invariant: a version is raised by every change and never reused; a name belongs to one campaign, and so does its
--            appearance. (Campaigns that were created before the latter was checked may look the same as others.)

local define = {}

local EVENT_DEFINITION_BYTES_MAX = 4096
local FIRST_FIELD = 16
-- The names of a program are one hash: name → number; and this byte and an appearance → the name. No name begins with it.
local APPEARANCE = '\0'

function define.state_changed(principal, number, version, name, state)
  return cmsgpack.pack({ 'state_changed', principal, number, version, name, state })
end

local function defined(principal, number, version, definition, digest)
  local in_event = #definition <= EVENT_DEFINITION_BYTES_MAX and definition or ''
  return cmsgpack.pack({ 'defined', principal, number, version, in_event, digest })
end

-- The campaign whose name has an appearance, as number and name, or nil. A campaign that is renamed leaves the entry of
-- its old name behind, which then says nothing.
function define.holder_of_appearance(call, appearance)
  local held = redis.call('HGET', keys.names(call.tag), APPEARANCE .. appearance)
  local number = held and redis.call('HGET', keys.names(call.tag), held)
  if number then return number, held end
  return nil
end

-- Returns the reply if a campaign with this number (0: a new one) cannot have a name; else nil.
local function decide_name(call, number, name, appearance)
  local taken = redis.call('HGET', keys.names(call.tag), name)
  if taken and tonumber(taken) ~= number then return { frame.head(call), 'exists', taken } end
  local holder, held = define.holder_of_appearance(call, appearance)
  if holder and tonumber(holder) ~= number then return { frame.head(call), 'alike', holder, held } end
  return nil
end

-- Returns the reply when nothing is created; else nil, and the number and version of the new campaign.
local function decide_creation(call, name, appearance, request, content)
  local remembered, request_key = idempotency.find_digest(call, request)
  if remembered then
    if records.request_content(remembered) ~= content then return { frame.head(call), 'mismatch' } end
    return { frame.head(call), records.request_text(remembered), '1' }
  end
  local refused = decide_name(call, 0, name, appearance)
  if refused then return refused end
  local last = tonumber(redis.call('HGET', keys.ledger(call.tag), 'campaigns') or 0)
  local number = last + 1
  while redis.call('EXISTS', keys.campaign(call.tag, number)) == 1 do number = number + 1 end
  local key, field = idempotency.place_digest(call, request, request_key)
  frame.plan(keys.ledger(call.tag), 'campaigns', keys.number_text(number))
  frame.plan(keys.names(call.tag), name, keys.number_text(number))
  for _, counter in ipairs({ 'issued', 'redeemed', 'discount', 'day', 'redeemed_day' }) do
    frame.plan(keys.campaign(call.tag, number), counter, '0')
  end
  frame.plan(key, field, records.pack_request_text(content, keys.number_text(number)))
  call.remembered = call.remembered + 1
  return nil, number, 1
end

-- The same for a change. The last value is the name that the campaign gives up, if any.
local function decide_change(call, number, version, name, appearance, offers_kept)
  local key = keys.campaign(call.tag, number)
  local values = redis.call('HMGET', key, 'version', 'name', 'issued', 'ends_at', 'open_until')
  if not values[1] then return { frame.head(call), 'gone' } end
  local old_name, dropped_name = values[2], nil
  if tonumber(values[1]) ~= version then return { frame.head(call), 'conflict' } end
  if not offers_kept and tonumber(values[3]) > 0 then return { frame.head(call), 'minted' } end
  if name ~= old_name then
    local refused = decide_name(call, number, name, appearance)
    if refused then return refused end
    frame.plan(keys.names(call.tag), name, keys.number_text(number))
    dropped_name = old_name
  end
  -- `open_until` is the latest moment at which a definition before this one allowed redemptions: the return window
  -- counts from it or from `ends_at`, whichever is later.
  local open_until = math.min(tonumber(values[4]), call.now)
  frame.plan(key, 'open_until', keys.number_text(math.max(open_until, tonumber(values[5] or 0))))
  return nil, number, version + 1, dropped_name
end

function define.call(key_names, args)
  local principal, number, version, name, definition = args[5], tonumber(args[6]), tonumber(args[7]), args[8], args[9]
  local offers_kept, request, content, state, digest = args[10] == '1', args[11], args[12], args[13], args[14]
  local appearance = args[15]
  local call = frame.begin_writing(key_names, args)
  frame.plan_nothing()
  local refused, dropped_name
  if number == 0 then
    refused, number, version = decide_creation(call, name, appearance, request, content)
  else
    refused, number, version, dropped_name = decide_change(call, number, version, name, appearance, offers_kept)
  end
  if refused then return refused end
  local holder = define.holder_of_appearance(call, appearance)
  if not holder or tonumber(holder) == number then
    frame.plan(keys.names(call.tag), APPEARANCE .. appearance, name)
  end
  local key, dropped = keys.campaign(call.tag, number), {}
  frame.plan(key, 'version', keys.number_text(version))
  frame.plan(key, 'name', name)
  frame.plan(key, 'definition', definition)
  for index = FIRST_FIELD, #args, 2 do
    local field, value = args[index], args[index + 1]
    if value == '' then
      dropped[#dropped + 1] = field
    else
      frame.plan(key, field, value)
    end
  end
  local event = state == '' and defined(principal, number, version, definition, digest)
    or define.state_changed(principal, number, version, name, state)
  frame.commit(call, event)
  if #dropped > 0 then redis.call('HDEL', key, unpack(dropped)) end
  if dropped_name then redis.call('HDEL', keys.names(call.tag), dropped_name) end
  return { frame.head(call), keys.number_text(number), keys.number_text(version) }
end

return define
