-- Gives the functions their names. The suffix is a digest of this library's own text, so that old and new servers of one
-- format of the ledger can work side by side during a deploy, each with its own.

local function register(name, callback, flags)
  redis.register_function({ function_name = name .. '_' .. SUFFIX, callback = callback, flags = flags or {} })
end

register('batch', batch)
register('issue', issue)
register('codes', codes)
register('revoke_serials', revoke_serials)
register('revoke_customer', revoke_customer)
register('define', define)
register('archive', archive)
register('archive_step', archive_step)
register('open', open)
register('adopt', adopt)
register('look', look, { 'no-writes' })
register('campaigns', campaigns, { 'no-writes' })
register('named', named, { 'no-writes' })
register('counters', counters, { 'no-writes' })
register('coupon', coupon, { 'no-writes' })
register('request', request, { 'no-writes' })
register('status', status, { 'no-writes' })
