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
