-- codes: stores the digests of exchange codes. They are durable before the codes are shown.
--
-- KEYS[1], ARGV[1] to ARGV[4]  see frame.lua
-- ARGV[5]   campaign · [6] offer · [7] id of the key that the codes were derived from
-- ARGV[8]   not before · [9] expires at (Unix seconds; both 0: they count from the claim)
-- ARGV[10]  first serial · [11] digests of the codes of this serial and those that follow, 10 bytes each
-- Replies  head · a word: ok, archived, or taken (nothing was stored; then the serial whose code belongs to another
--          coupon)
-- Invariant: a code belongs to one coupon for good; storing it again changes nothing.

local codes = {}

-- Code that was not claimed: format 1 · coupon.
-- Code that was claimed: format 2 · request digest 10 · content digest 8 · claim.
-- coupon: campaign 4 · offer 2 · serial 8 · not before 4 · expires at 4 (Unix seconds) · key id 4.
-- claim: claimed at 4 (Unix seconds) · the coupon as it was claimed, with the id of the key that signed its token.
local COUPON = '>I4I2I8I4I4I4'
local COUPON_BYTES, CLAIM_BYTES, CODE_BYTES = 26, 30, 10

function codes.pack_coupon(campaign, offer, serial, not_before, expires_at, key_id)
  return struct.pack(COUPON, campaign, offer, serial, not_before, expires_at, key_id)
end

function codes.pack_claimed(request, content, claim)
  return struct.pack('>Bc10c8', 2, request, content) .. claim
end

function codes.unpack_code(value)
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

-- The campaign of a code. It unpacks nothing else, because archiving reads many codes.
function codes.campaign_of(value)
  local format = value:byte(1)
  if format > 2 then error('code record of unknown format ' .. format) end
  return (struct.unpack('>I4', value, format == 1 and 2 or 24))
end

function codes.call(key_names, args)
  local number, offer, key_id = tonumber(args[5]), tonumber(args[6]), tonumber(args[7])
  local not_before, expires_at, first, digests = tonumber(args[8]), tonumber(args[9]), tonumber(args[10]), args[11]
  local call = frame.begin_writing(key_names, args)
  local campaign, count = campaigns.of(call, number), #digests / CODE_BYTES
  if not campaign or first + count > campaign.issued then
    error({ err = 'UNISSUED codes of serials that were never issued' })
  end
  if campaigns.is_archived(campaign) then return { frame.head(call), 'archived' } end
  frame.plan_nothing()
  local planned, stored = {}, false
  for index = 0, count - 1 do
    local serial, digest = first + index, digests:sub(index * CODE_BYTES + 1, (index + 1) * CODE_BYTES)
    local key, field = keys.code(call.tag, digest)
    local present, earlier = redis.call('HGET', key, field), planned[digest]
    if present then
      local code = codes.unpack_code(present)
      if code.campaign ~= number or code.serial ~= serial then
        return { frame.head(call), 'taken', keys.number_text(serial) }
      end
    elseif earlier then
      return { frame.head(call), 'taken', keys.number_text(serial) }
    else
      planned[digest], stored = true, true
      frame.plan(key, field, '\1' .. codes.pack_coupon(number, offer, serial, not_before, expires_at, key_id))
    end
  end
  if stored then
    frame.plan(campaign.key, 'codes', '1') -- so that archiving looks for them
    frame.commit(call)
  end
  return { frame.head(call), 'ok' }
end

return codes
