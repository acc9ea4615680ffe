-- attempt.refund: refunds an attempt, as `GcraState::refund` does in memory. An empty bucket stays empty. A bucket whose
-- count becomes 0 is removed, because an attempt that cost its sender nothing must leave nothing behind.
-- KEYS     shard
-- ARGV     offset_ms, field, charge_ms
-- Returns  nothing
local count, charged_until, kept_until = read_state(KEYS[1], ARGV[2])
if count == 1 then
  redis.call('HDEL', KEYS[1], ARGV[2])
elseif count > 1 then
  write_state(KEYS[1], ARGV[2], count - 1, math.max(charged_until - tonumber(ARGV[3]), 0), kept_until)
end
