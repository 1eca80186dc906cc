-- The speller of every ledger key; ledger/keys.py mirrors it, and a test holds the two together.
--
-- tag: KEYS[1], the program in braces, for example {demo}: all keys of a program lie in one slot. Keys that every
-- redemption writes have names of one letter: u used coupons, c customers, r remembered requests.
--
-- A prefix is a key up to its last number. It is spelled once a call and kept, because spelling costs as much as reading.

local keys = {}

local WHOLE_MAX = 2 ^ 53

local SMALL, PADDED = {}, {}
for number = 0, 999 do -- while the library is loaded, `string` has no name yet
  SMALL[number] = ('%d'):format(number)
  PADDED[number] = ('%03d'):format(number)
end

-- Spells a whole number (up to 53 bits) in decimal digits. Lua's own ".." does it as for a fraction, which takes longer, and
-- with 14 digits at most.
local function spelled(number)
  local small = SMALL[number]
  if small then return small end
  if number >= 1000 and number < 1000000 then
    local rest = number % 1000
    return SMALL[(number - rest) / 1000] .. PADDED[rest]
  end
  return string.format('%.0f', number)
end

-- The same behind a prefix, at once: what is spelled in between is a string that nobody needs.
local function behind(prefix, number)
  if number < 1000 then return prefix .. SMALL[number] end
  if number < 1000000 then
    local rest = number % 1000
    return prefix .. SMALL[(number - rest) / 1000] .. PADDED[rest]
  end
  return prefix .. spelled(number)
end

function keys.ledger(tag) return tag .. ':ledger' end
function keys.events(tag) return tag .. ':events' end
function keys.names(tag) return tag .. ':names' end
function keys.campaign(tag, number) return tag .. ':campaign:' .. spelled(number) end

-- How often each outcome was answered that refused a coupon of the campaign.
function keys.refused(tag, number) return tag .. ':refused:' .. spelled(number) end

-- The record of a coupon is the field serial mod width of the block serial div width.
function keys.used_prefix(tag, number) return tag .. ':u:' .. spelled(number) .. ':' end
function keys.used(prefix, width, serial)
  local place = serial % width
  local block = (serial - place) / width
  if block < 1000 then return prefix .. SMALL[block], SMALL[place] or spelled(place) end
  return behind(prefix, block), SMALL[place] or spelled(place)
end
function keys.used_block(tag, number, block) return keys.used_prefix(tag, number) .. spelled(block) end

-- A customer's counters are the field digest of one of `buckets` (a power of two, at most 65,536) hashes.
function keys.customer_prefix(tag, number) return tag .. ':c:' .. spelled(number) .. ':' end
function keys.customer(prefix, buckets, digest)
  local first, second = digest:byte(1, 2)
  return behind(prefix, (first * 256 + second) % buckets)
end
function keys.customer_bucket(tag, number, bucket) return keys.customer_prefix(tag, number) .. spelled(bucket) end

-- A remembered request is the rest of its digest (the first byte is in the bucket) in one of a generation's hashes, of
-- which there are 4,096 to 1,048,576, a power of two. share: how many of the 2^24 values of a digest's first three bytes
-- one bucket has.
function keys.request_prefix(tag, generation) return tag .. ':r:' .. spelled(generation) .. ':' end
function keys.request(prefix, share, first, second, third)
  local place = first * 65536 + second * 256 + third
  return behind(prefix, (place - place % share) / share)
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

-- A whole number (up to 53 bits) as it is stored, and what is stored as one; nothing when it is something else.
keys.number_text = spelled
function keys.whole(text)
  local number = tonumber(text)
  if number and number >= 0 and number % 1 == 0 and number <= WHOLE_MAX then return number end
  return nil
end

return keys
