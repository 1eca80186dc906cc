-- Registers the functions. Every name ends with a digest of the library's text. So during a deploy old and new servers
-- of one ledger format work side by side, each with its own functions.

local function register(name, callback, flags)
  redis.register_function({ function_name = name .. '_' .. SUFFIX, callback = callback, flags = flags or {} })
end

register('batch', batch)
register('issue', issue.call)
register('codes', codes.call)
register('count_refusals', refusal_counts.call)
register('revoke_serials', revoke.serials)
register('revoke_customer', revoke.customer)
register('define', define.call)
register('archive', archive.begin)
register('archive_step', archive.step)
register('open', open_ledger.open)
register('adopt', open_ledger.adopt)
register('upgrade', open_ledger.upgrade)
register('reset_clock', open_ledger.reset_clock)
register('quote_snapshot', quote_snapshot.call, { 'no-writes' })
register('campaigns', reads.campaigns, { 'no-writes' })
register('named', reads.named, { 'no-writes' })
register('counters', reads.counters, { 'no-writes' })
register('coupon', reads.coupon, { 'no-writes' })
register('request', reads.request, { 'no-writes' })
register('status', reads.status, { 'no-writes' })
register('permissions', permissions.missing, { 'no-writes' })
