-- look: what the ledger knows of coupons and their campaigns at one moment, without changing anything.
--
-- KEYS[1]  the program's tag
-- ARGV[1]  what the server knows of the ledger (see call.lua)
-- ARGV[2]  the customer's digest, or empty
-- ARGV[3]  the coupons, big-endian: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · bound
--          to the customer 1
-- Replies  head · {number, version, definition, …} of the campaigns whose version was not the server's · and if there
--          are none, a string for the coupons, one SEEN_COUPON each, and one for the campaigns, one SEEN_CAMPAIGN each;
--          or a single string more, when a record cannot be read: why (for the log)

local ASKED_COUPON = '>I4I4I8B'
-- What it is (the sum of 1 issued, 2 revoked, 4 in use) · and of the present use: redeemed at 4 · generation 2 ·
-- discount 8 · order digest 6
local SEEN_COUPON = '>BI4I2I8c6'
-- Number · redeemed 8 · discount 8 · day 2 · redeemed on it 8 · discounted on it 8 · slot 4 · redeemed in it 8 ·
-- customer: redeemed 2 · day 2 · redeemed on it 2
local SEEN_CAMPAIGN = '>I4I8I8I2I8I8I4I8I2I2I2'
local ISSUED, TAKEN_BACK, IN_USE = 1, 2, 4
local UNUSED = { redeemed_at = 0, generation = 0, discount = 0, order = '\0\0\0\0\0\0' }

local function see_coupon(call, number, campaign, serial, holder)
  local kind, use = 0, UNUSED
  if campaign and serial < campaign.issued then
    kind = is_revoked(call, number, campaign, serial, holder) and ISSUED + TAKEN_BACK or ISSUED
    local key, field = keys.used(call.tag, number, campaign.width, serial)
    local stored = redis.call('HGET', key, field)
    local coupon = stored and unpack_coupon(stored)
    if coupon and coupon.state == REDEEMED then kind, use = kind + IN_USE, coupon end
  end
  return struct.pack(SEEN_COUPON, kind, use.redeemed_at, use.generation, use.discount, use.order)
end

local function see_campaign(call, number, campaign, customer)
  local redeemed, day, today = unpack_customer(customer ~= '' and redis.call('HGET',
    keys.customer(call.tag, number, campaign.customer_buckets, customer)))
  local budget_start = campaign.budget_day == campaign.day and campaign.budget_start or 0
  local discount_day = campaign.budget_day == campaign.day and campaign.discount - budget_start or 0
  local slot = campaign.slot or 0
  local redeemed_slot = slot > 0 and campaign.redeemed - (campaign.slot_start or 0) or 0
  return struct.pack(SEEN_CAMPAIGN, number, campaign.redeemed, campaign.discount, campaign.day, campaign.redeemed_day,
    discount_day, slot, redeemed_slot, redeemed, day, today)
end

local function see(call, asked, customer)
  local coupons, campaigns, numbers = {}, {}, {}
  for index, coupon in ipairs(asked) do
    local campaign = campaign_of(call, coupon.campaign)
    local holder = coupon.bound and customer ~= '' and customer
    coupons[index] = see_coupon(call, coupon.campaign, campaign, coupon.serial, holder)
    if campaign and not numbers[coupon.campaign] then
      numbers[coupon.campaign] = true
      campaigns[#campaigns + 1] = see_campaign(call, coupon.campaign, campaign, customer)
    end
  end
  return { table.concat(coupons), table.concat(campaigns) }
end

local function unpack_asked(packed)
  local asked, position = {}, 1
  while position <= #packed do
    local coupon, bound = {}, nil
    coupon.campaign, coupon.version, coupon.serial, bound, position = struct.unpack(ASKED_COUPON, packed, position)
    coupon.bound = bound == 1
    asked[#asked + 1] = coupon
  end
  return asked
end

local function look(key_names, args)
  local call = begin(key_names[1], args[1])
  local asked, stale = unpack_asked(args[3]), {}
  local ok, seen = pcall(function()
    return not misfit(call, asked, call.now, call.now + 1, stale) and see(call, asked, args[2])
  end)
  if not ok then return { head(call), {}, type(seen) == 'table' and seen.err or tostring(seen) } end
  if not seen then return { head(call), definitions(call, stale) } end
  return { head(call), {}, unpack(seen) }
end
