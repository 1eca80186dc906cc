-- Registers the functions. Every name ends with a digest of the library's text. So during a deploy old and new servers
-- of one ledger format work side by side, each with its own functions.
--
-- Functions with `allow-oom` also write while the ledger has no memory left: what an operator needs in an emergency (deny,
-- tighten, freeze, pause, revoke) takes little, and must work just then. `open` goes before them, and seldom writes. Any
-- other function that writes is refused.

local function register(name, callback, flags)
  redis.register_function({ function_name = name .. '_' .. SUFFIX, callback = callback, flags = flags or {} })
end

register('batch', batch.call)
register('batch_without_writes', batch.without_writes, { 'no-writes' })
register('write_check', write_check)
register('issue', issue.call)
register('codes', codes.call)
register('count_refusals', refusal_counts.call)
register('define_rules', rule_changes.define, { 'allow-oom' })
register('change_list', rule_changes.change_list, { 'allow-oom' })
register('exchange_attempts', attempts.exchange)
register('watch', watch.call)
register('revoke_serials', revoke.serials, { 'allow-oom' })
register('revoke_customer', revoke.customer, { 'allow-oom' })
register('define', define.call, { 'allow-oom' })
register('archive', archive.begin)
register('archive_step', archive.step)
register('open', open_ledger.open, { 'allow-oom' })
register('adopt', open_ledger.adopt)
register('upgrade', open_ledger.upgrade)
register('reset_clock', open_ledger.reset_clock)
register('quote_snapshot', quote_snapshot.call, { 'no-writes' })
register('attempts', attempts.read, { 'no-writes' })
register('rules_since', rule_changes.since, { 'no-writes' })
register('rules_page', rule_changes.page, { 'no-writes' })
register('warnings', watch.read, { 'no-writes' })
register('campaigns', reads.campaigns, { 'no-writes' })
register('named', reads.named, { 'no-writes' })
register('counters', reads.counters, { 'no-writes' })
register('rule_counts', reads.rule_counts, { 'no-writes' })
register('coupon', reads.coupon, { 'no-writes' })
register('request', reads.request, { 'no-writes' })
register('subject_states', reads.subject_states, { 'no-writes' })
register('status', reads.status, { 'no-writes' })
register('permissions', permissions.missing, { 'no-writes' })
