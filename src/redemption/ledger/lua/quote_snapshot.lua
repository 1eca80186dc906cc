-- quote_snapshot: what the ledger knows of coupons and their campaigns at one moment, without changing anything.
--
-- KEYS[1], ARGV[1] to ARGV[3]  see frame.lua
-- ARGV[4]  the customer's digest, or empty
-- ARGV[5]  the coupons, big-endian: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · bound
--          to the customer 1
-- Replies  head · {number, version, definition, …} of the campaigns whose version was not the server's · and if there
--          are none, a string for the coupons, one SEEN_COUPON each, and one for the campaigns, one SEEN_CAMPAIGN each;
--          or a single string more, when a record cannot be read: why (for the log)

local quote_snapshot = {}

local ASKED_COUPON, ASKED_BYTES = '>I4I4I8B', 17
-- What it is (the sum of 1 issued, 2 revoked, 4 in use) · and of the present use: redeemed at 4 · generation 2 ·
-- discount 8 · order digest 6
local SEEN_COUPON = '>BI4I2I8c6'
-- Number · redeemed 8 · discount 8 · day 2 · redeemed on it 8 · discounted on it 8 · slot 4 · redeemed in it 8 ·
-- customer: redeemed 2 · day 2 · redeemed on it 2
local SEEN_CAMPAIGN = '>I4I8I8I2I8I8I4I8I2I2I2'
local ISSUED, TAKEN_BACK, IN_USE = 1, 2, 4
local UNUSED = { redeemed_at = 0, generation = 0, discount = 0, order = '\0\0\0\0\0\0' }

function quote_snapshot.coupon(call, campaign, serial, holder)
  local kind, use = 0, UNUSED
  if campaign and serial < campaign.issued then
    kind = revoke.is_revoked(call, campaign, serial, holder) and ISSUED + TAKEN_BACK or ISSUED
    local key, field = keys.used(campaign.used_prefix, campaign.width, serial)
    local stored = redis.call('HGET', key, field)
    local coupon = stored and records.unpack_coupon(stored)
    if coupon and coupon.state == records.REDEEMED then kind, use = kind + IN_USE, coupon end
  end
  return struct.pack(SEEN_COUPON, kind, use.redeemed_at, use.generation, use.discount, use.order)
end

local function see_campaign(campaign, customer)
  local redeemed, day, today = 0, 0, 0
  if customer ~= '' then
    local _
    _, redeemed, day, today = limits.read_customer(campaign, customer)
  end
  local discount_day, redeemed_slot = limits.of_last_periods(campaign)
  return struct.pack(SEEN_CAMPAIGN, campaign.number, campaign.redeemed, campaign.discount, campaign.day,
    campaign.redeemed_day, discount_day, campaign.slot, redeemed_slot, redeemed, day, today)
end

-- Returns what is seen of the coupons and of their campaigns, or nothing when a campaign is stale.
local function see(call, packed, customer, stale)
  local coupons, seen, numbers, is_stale = {}, {}, {}, false
  for position = 1, #packed, ASKED_BYTES do
    local number, version = struct.unpack(ASKED_COUPON, packed, position)
    is_stale = campaigns.is_stale(campaigns.of(call, number), number, version, stale) or is_stale
  end
  if is_stale then return nil end
  for position = 1, #packed, ASKED_BYTES do
    local number, _, serial, bound = struct.unpack(ASKED_COUPON, packed, position)
    local campaign = campaigns.of(call, number)
    coupons[#coupons + 1] = quote_snapshot.coupon(call, campaign, serial, bound == 1 and customer ~= '' and customer)
    if campaign and not numbers[number] then
      numbers[number] = true
      seen[#seen + 1] = see_campaign(campaign, customer)
    end
  end
  return table.concat(coupons), table.concat(seen)
end

function quote_snapshot.call(key_names, args)
  local customer, packed = args[4], args[5]
  local call, stale = frame.begin(key_names, args), {}
  local ok, coupons, seen = pcall(see, call, packed, customer, stale)
  if not ok then return { frame.head(call), {}, type(coupons) == 'table' and coupons.err or tostring(coupons) } end
  if not coupons then return { frame.head(call), campaigns.definitions(call, stale) } end
  return { frame.head(call), {}, coupons, seen }
end

return quote_snapshot
