-- The limits of redemptions, and what counts against them.
--
-- A token, as these functions read it: number (its campaign's) · discount, merchant and order_value (minor units) · day
-- (days since 1970, campaign's zone) · slot (names a slot of a day; 0 none) · slot_limit · flags (2 or more: the slot's
-- limit is for all of the day so far) · offer. `ahead` and `ahead_discount` are what the same order takes of the campaign before this token.

local limits = {}

local CARRIES = 2
local MINOR_MAX = 2 ^ 53 - 1 -- no counter of money may leave what a double counts exactly
local CUSTOMER_LIMIT, CUSTOMER_DAY_LIMIT = OUTCOME.CUSTOMER_LIMIT, OUTCOME.CUSTOMER_DAY_LIMIT
local DAY_LIMIT, SLOT_LIMIT, CAMPAIGN_LIMIT = OUTCOME.DAY_LIMIT, OUTCOME.SLOT_LIMIT, OUTCOME.CAMPAIGN_LIMIT
local BUDGET_EXHAUSTED, BUDGET_DAY_RANK = OUTCOME.BUDGET_EXHAUSTED, OUTCOME.BUDGET_DAY_RANK

-- The first limit of a customer that has no room for one more redemption, or nil. redeemed and today: with those ahead.
function limits.of_customer(campaign, redeemed, today)
  if campaign.limit_customer and redeemed >= campaign.limit_customer then return CUSTOMER_LIMIT end
  if campaign.limit_customer_day and today >= campaign.limit_customer_day then return CUSTOMER_DAY_LIMIT end
  return nil
end

-- The first limit of a campaign that has no room for a token, or nil.
function limits.of_campaign(campaign, token, ahead, ahead_discount)
  local redeemed = campaign.redeemed + ahead
  local redeemed_day = (campaign.day == token.day and campaign.redeemed_day or 0) + ahead
  if campaign.limit_day and redeemed_day >= campaign.limit_day then return DAY_LIMIT end
  if token.slot > 0 then
    -- With carry-over the day is looked at, so that what earlier slots left over is there, and what was redeemed before
    -- carry-over was switched on is not forgotten.
    local slot_start = campaign.slot == token.slot and campaign.slot_start or campaign.redeemed
    local counted = token.flags >= CARRIES and redeemed_day or redeemed - slot_start
    if counted >= token.slot_limit then return SLOT_LIMIT end
  end
  if campaign.limit_redemptions and redeemed >= campaign.limit_redemptions then return CAMPAIGN_LIMIT end
  local spent = campaign.discount + ahead_discount + token.discount
  if spent > (campaign.limit_budget or MINOR_MAX) then return BUDGET_EXHAUSTED end
  if campaign.limit_budget_day then
    local budget_start = campaign.day == token.day and campaign.budget_start or campaign.discount
    if spent - budget_start > campaign.limit_budget_day then return BUDGET_DAY_RANK end
  end
  return nil
end

-- Counts the redemption of a token.
function limits.apply(campaign, token)
  local redeemed, discount = campaign.redeemed, campaign.discount
  if campaign.day ~= token.day then
    campaign.day, campaign.redeemed_day, campaign.budget_start = token.day, 0, discount
  end
  if token.slot > 0 and campaign.slot ~= token.slot then
    campaign.slot, campaign.slot_start = token.slot, redeemed
  end
  campaign.redeemed = redeemed + 1
  campaign.redeemed_day = campaign.redeemed_day + 1
  campaign.discount = discount + token.discount
  campaign.order_value = math.min(campaign.order_value + token.order_value, MINOR_MAX)
  if token.merchant > 0 then campaign.merchant = campaign.merchant + token.merchant end
  if token.offer > 0 then
    local offer = campaign.offers[token.offer]
    offer.redeemed = offer.redeemed + 1
    offer.discount = offer.discount + token.discount
  end
end

return limits
