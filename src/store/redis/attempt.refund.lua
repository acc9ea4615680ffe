-- attempt.refund: refunds an attempt, as `GcraState::refund` does in memory. An empty bucket stays empty. A bucket whose
-- count becomes 0 is removed, because an attempt that cost its sender nothing must leave nothing behind.
-- KEYS     bucket
-- ARGV     offset_ms, charge_ms
-- Returns  nothing
local count, charged_until = read_state(KEYS[1])
if count == 1 then
  redis.call('DEL', KEYS[1])
elseif count > 1 then
  redis.call('HSET', KEYS[1], 'count', count - 1, 'until', decimal(math.max(charged_until - tonumber(ARGV[2]), 0)))
end
