-- quote_snapshot: reads what the ledger knows of coupons and their campaigns at one moment.
--
-- KEYS[1], ARGV[1] to ARGV[3]  see frame.lua
-- ARGV[4]  the customer's digest, or empty
-- ARGV[5]  the version of the rules
-- ARGV[6]  the order's digest, or empty: its own hold counts for nothing in the snapshots
-- ARGV[7]  the coupons, big-endian: campaign 4 · version 4 (0: the server knows of no such campaign) · serial 8 · 1 if
--          bound to the customer, else 0 (1 byte)
-- Replies  head · {number, version, definition, …} of campaigns, and of rules (number 0, see batch.lua), whose version was
--          not the server's: then the question is outdated, and this is all. Else head · {} · the snapshots of the coupons, in the order of the question ·
--          the snapshots of their campaigns (limits.lua), each once. Or head · {} · why a record cannot be read (for the
--          log).
-- Invariant: it writes nothing; all snapshots are of one moment.

local quote_snapshot = {}

local ASKED_COUPON, ASKED_BYTES = '>I4I4I8B', 17
-- Snapshot of a coupon: the sum of 1 issued, 2 revoked, 4 in use, 8 held (1 byte) · of its present use or hold (0: none):
-- redeemed at, or held until 4 (Unix seconds) · generation 2 · discount 8 (minor units; 0 of a hold) · order digest 6
local COUPON_SNAPSHOT = '>BI4I2I8c6'
local IS_ISSUED, IS_REVOKED, IS_IN_USE, IS_HELD, IS_GIVEN_BACK = 1, 2, 4, 8, 16 -- the last: free, and this is the last use
local UNUSED = { redeemed_at = 0, generation = 0, discount = 0, order = '\0\0\0\0\0\0' }

-- Returns the snapshot of a coupon, and its record, unpacked. holder: the digest of the customer that it is bound to, or
-- false · with_last_use: of a coupon that is free because it was given back, the snapshot has its last use
local function coupon_snapshot(call, campaign, serial, holder, with_last_use)
  local kind, use, moment, coupon = 0, UNUSED, nil, false
  if campaign and serial < campaign.issued then
    kind = revoke.is_revoked(call, campaign, serial, holder) and IS_ISSUED + IS_REVOKED or IS_ISSUED
    local key, field = keys.used(campaign.used_prefix, campaign.width, serial)
    local stored = redis.call('HGET', key, field)
    coupon = stored and records.unpack_coupon(stored)
    if coupon and coupon.state == records.REDEEMED then
      kind, use = kind + IS_IN_USE, coupon
    elseif coupon and coupon.state == records.HELD and coupon.expires > call.seconds then
      kind, use, moment = kind + IS_HELD, coupon, coupon.expires
    elseif coupon and with_last_use and coupon.redeemed_at > 0 then
      kind, use = kind + IS_GIVEN_BACK, coupon
    end
  end
  return struct.pack(COUPON_SNAPSHOT, kind, moment or use.redeemed_at, use.generation, use.discount, use.order), coupon
end

function quote_snapshot.coupon(call, campaign, serial, holder)
  return (coupon_snapshot(call, campaign, serial, holder, false))
end

-- The snapshot of a coupon, how often it was given back whole 2, and how much of its use was given back 8 (minor units).
function quote_snapshot.coupon_with_returns(call, campaign, serial)
  local packed, coupon = coupon_snapshot(call, campaign, serial, false, true)
  local discount = 0
  if coupon and coupon.state == records.REDEEMED then
    local record = redis.call('HGET', keys.returned(call.tag, campaign.number, campaign.width, serial))
    discount = record and records.unpack_returned(record).discount or 0
  end
  return packed .. struct.pack('>I2I8', coupon and coupon.generation or 0, discount)
end

-- Returns the snapshots of the coupons and those of their campaigns; or nil when the question is outdated.
-- customer, order: the digest, or false
local function snapshots_of(call, packed, customer, order, rules_version, stale)
  local of_coupons, of_campaigns, done, is_stale = {}, {}, {}, rules.is_stale(call, rules_version)
  for position = 1, #packed, ASKED_BYTES do
    local number, version = struct.unpack(ASKED_COUPON, packed, position)
    is_stale = campaigns.is_stale(campaigns.of(call, number), number, version, stale) or is_stale
  end
  if is_stale then return nil end
  local own = order and holds.find(call, order)
  own = own and own.is_open and own
  for position = 1, #packed, ASKED_BYTES do
    local number, _, serial, bound = struct.unpack(ASKED_COUPON, packed, position)
    local campaign = campaigns.of(call, number)
    local holder = bound == 1 and customer
    of_coupons[#of_coupons + 1] = quote_snapshot.coupon(call, campaign, serial, holder)
    if campaign and not done[number] then
      done[number] = true
      of_campaigns[#of_campaigns + 1] = limits.snapshot(call, campaign, customer, own)
    end
  end
  return table.concat(of_coupons), table.concat(of_campaigns)
end

function quote_snapshot.call(key_names, args)
  local customer, rules_version = args[4] ~= '' and args[4], tonumber(args[5])
  local order, packed = args[6] ~= '' and args[6], args[7]
  local call, stale = frame.begin(key_names, args), {}
  local ok, coupons, of_campaigns = pcall(snapshots_of, call, packed, customer, order, rules_version, stale)
  if not ok then return { frame.head(call), {}, type(coupons) == 'table' and coupons.err or tostring(coupons) } end
  if not coupons then
    local changed = campaigns.definitions(call, stale)
    rules.add_changes(call, changed)
    return { frame.head(call), changed }
  end
  return { frame.head(call), {}, coupons, of_campaigns }
end

return quote_snapshot
