-- Spells every key of the ledger. ledger/keys.py does the same in Python; a test compares the two.
--
-- tag: KEYS[1], the program's name in braces, for example {demo}. So all keys of a program are in one hash slot.
-- Keys that every redemption writes have names of one letter: u used coupons, c customers, r remembered requests.
--
-- A prefix is a key up to its last number. A call spells each prefix once and keeps it: spelling a key takes as long as
-- reading it.

local keys = {}

local WHOLE_MAX = 2 ^ 53

local SMALL, PADDED = {}, {}
for number = 0, 999 do -- with methods: while the library is loaded, there is no global `string`
  SMALL[number] = ('%d'):format(number)
  PADDED[number] = ('%03d'):format(number)
end

-- Spells a whole number (up to 53 bits) in decimal digits. Lua's own ".." is slower, and gives 14 digits at most.
local function spelled(number)
  local small = SMALL[number]
  if small then return small end
  if number >= 1000 and number < 1000000 then
    local rest = number % 1000
    return SMALL[(number - rest) / 1000] .. PADDED[rest]
  end
  return string.format('%.0f', number)
end

-- Spells a prefix and a number in one step: the number alone would be a string more, which nobody needs.
local function behind(prefix, number)
  if number < 1000 then return prefix .. SMALL[number] end
  if number < 1000000 then
    local rest = number % 1000
    return prefix .. SMALL[(number - rest) / 1000] .. PADDED[rest]
  end
  return prefix .. spelled(number)
end

function keys.ledger(tag) return tag .. ':ledger' end
function keys.keyset(tag) return tag .. ':keyset' end
function keys.events(tag) return tag .. ':events' end
function keys.names(tag) return tag .. ':names' end
function keys.campaign(tag, number) return tag .. ':campaign:' .. spelled(number) end

-- A hash: outcome → how often it was the answer to a coupon of the campaign. Only refusals are counted.
function keys.refused(tag, number) return tag .. ':refused:' .. spelled(number) end

-- The record of a coupon is in block `serial div width`, and there it is field `serial mod width`.
function keys.used_prefix(tag, number) return tag .. ':u:' .. spelled(number) .. ':' end
function keys.used(prefix, width, serial)
  local place = serial % width
  local block = (serial - place) / width
  if block < 1000 then return prefix .. SMALL[block], SMALL[place] or spelled(place) end
  return behind(prefix, block), SMALL[place] or spelled(place)
end
function keys.used_block(tag, number, block) return keys.used_prefix(tag, number) .. spelled(block) end

-- What was given back of a coupon that is used: blocks and fields are those of the coupons' records.
function keys.returned(tag, number, width, serial)
  return keys.used(tag .. ':returned:' .. spelled(number) .. ':', width, serial)
end
function keys.returned_block(tag, number, block) return tag .. ':returned:' .. spelled(number) .. ':' .. spelled(block) end

-- The rules of a program, their entries, the log of changed entries, and how often each rule did what; see rules.lua.
function keys.rules(tag) return tag .. ':rules' end
function keys.listed(tag) return tag .. ':listed' end
function keys.listed_log(tag) return tag .. ':listed_log' end
function keys.rule_counts(tag) return tag .. ':rule_counts' end

-- A hash: server process → its report of what was tried in vain in a minute (since 1970), see attempts.lua.
function keys.attempts(tag, minute) return tag .. ':attempts:' .. spelled(minute) end

-- Hashes by the campaign's number: what its counters were, and what it is warned of; see watch.lua.
function keys.marks(tag) return tag .. ':marks' end
function keys.warnings(tag) return tag .. ':warnings' end

-- A hash: what a rule counted of its subjects in one generation, see velocity.lua.
function keys.velocity(tag, rule, generation)
  return tag .. ':velocity:' .. spelled(rule) .. ':' .. spelled(generation)
end

-- A customer's counters are in one of `buckets` hashes (a power of two, at most 65,536). The field is the digest.
function keys.customer_prefix(tag, number) return tag .. ':c:' .. spelled(number) .. ':' end
function keys.customer(prefix, buckets, digest)
  local first, second = digest:byte(1, 2)
  return behind(prefix, (first * 256 + second) % buckets)
end
function keys.customer_bucket(tag, number, bucket) return keys.customer_prefix(tag, number) .. spelled(bucket) end

-- A remembered request is in one of the hashes (buckets) of a generation: 4,096 to 1,048,576, a power of two. The first
-- three bytes of its digest choose the bucket; the field is the digest without its first byte. share: how many of the
-- 2^24 values of these three bytes belong to one bucket.
function keys.request_prefix(tag, generation) return tag .. ':r:' .. spelled(generation) .. ':' end
function keys.request(prefix, share, first, second, third)
  local place = first * 65536 + second * 256 + third
  return behind(prefix, (place - place % share) / share)
end

-- Revoked serials, a sorted set of ranges that neither touch nor overlap: the member is the last serial of a range, the
-- score is its first one.
function keys.revoked(tag, number) return tag .. ':revoked:' .. spelled(number) end

-- Revoked customers, a hash: digest → how many serials were issued when the customer was revoked.
function keys.revoked_customers(tag, number) return tag .. ':revoked_customers:' .. spelled(number) end

-- How many coupons of a campaign are held, by the second at which the holds end; see wheel.lua.
function keys.wheel(tag, number) return tag .. ':wheel:' .. spelled(number) end

-- The hold of an order is in one of 4,096 hashes. The field is the order's digest.
function keys.hold(tag, order)
  local first, second = order:byte(1, 2)
  return behind(tag .. ':hold:', first * 16 + math.floor(second / 16))
end

-- The digests of the orders whose holds end at a second (since 1970), one after the other.
function keys.due(tag, second) return tag .. ':due:' .. spelled(second) end

-- Claims of a customer (kind c) or a person (kind p) are in one of `buckets` hashes. The field is the kind and the
-- digest.
function keys.claims(tag, number, buckets, kind, digest)
  local first, second = digest:byte(1, 2)
  return keys.claims_bucket(tag, number, (first * 256 + second) % buckets), kind .. digest
end

function keys.claims_bucket(tag, number, bucket)
  return tag .. ':claims:' .. spelled(number) .. ':' .. spelled(bucket)
end

-- An exchange code is in one of 16,384 hashes. The field is its digest without the first byte.
function keys.code(tag, digest)
  local first, second = digest:byte(1, 2)
  return keys.code_bucket(tag, first * 64 + math.floor(second / 4)), digest:sub(2)
end

function keys.code_bucket(tag, bucket) return tag .. ':code:' .. spelled(bucket) end

-- number_text spells a whole number (up to 53 bits) as it is stored; whole reads it, and returns nil for anything else.
keys.number_text = spelled
function keys.whole(text)
  local number = tonumber(text)
  if number and number >= 0 and number % 1 == 0 and number <= WHOLE_MAX then return number end
  return nil
end

return keys
