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
