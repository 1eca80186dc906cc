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
