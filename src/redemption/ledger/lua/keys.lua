-- The speller of every ledger key; ledger/keys.py mirrors it, and a test holds the two together.
--
-- tag: KEYS[1], the program in braces, for example {demo}: all keys of a program lie in one slot.
-- Numbers up to 13 digits are spelled in full by Lua's "..": campaign (32 bits), block (40 bits), bucket.

local keys = {}

function keys.ledger(tag) return tag .. ':ledger' end
function keys.events(tag) return tag .. ':events' end
function keys.names(tag) return tag .. ':names' end
function keys.campaign(tag, number) return tag .. ':campaign:' .. number end

-- The record of a coupon is the field serial mod width of the block serial div width.
function keys.used(tag, number, width, serial)
  return tag .. ':used:' .. number .. ':' .. math.floor(serial / width), serial % width
end

-- A customer's counters are the field digest of one of `buckets` (a power of two, at most 65,536) hashes.
function keys.customer(tag, number, buckets, digest)
  local first, second = digest:byte(1, 2)
  return tag .. ':customer:' .. number .. ':' .. ((first * 256 + second) % buckets), digest
end

-- A remembered request is the rest of its digest (the first byte is in the bucket) in one of 4,096 hashes.
function keys.request(tag, generation, digest)
  local first, second = digest:byte(1, 2)
  return keys.request_bucket(tag, generation, first * 16 + math.floor(second / 16)), digest:sub(2)
end

function keys.request_bucket(tag, generation, bucket)
  return tag .. ':request:' .. generation .. ':' .. bucket
end
