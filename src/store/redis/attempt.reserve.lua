-- attempt.reserve: reserves an attempt if the bucket allows one, as `GcraState::reserve` does in memory. A new bucket needs
-- space in its shard; no other bucket is removed for it unless it has expired.
-- KEYS     shard
-- ARGV     offset_ms, field, largest number of buckets in the shard, burst_ms, ttl_ms for each attempt, count from which the
--          long TTL applies, long TTL in ms, then the charges in ms of the first attempt, the second, and so on
-- Returns  if allowed: 0, the charge in ms, the count; if denied: the time to wait in ms, 0, 0; if there is no space: -1, 0, 0
local shard, field, FIRST_CHARGE = KEYS[1], ARGV[2], 8

-- Removes the expired buckets of the shard, and returns how many they are.
local function remove_expired()
  local buckets, expired = redis.call('HGETALL', shard), {}
  for position = 1, #buckets, 2 do
    local _, _, kept_until = struct.unpack(STATE, buckets[position + 1])
    if kept_until <= now then
      expired[#expired + 1] = buckets[position]
    end
  end
  if #expired > 0 then
    redis.call('HDEL', shard, unpack(expired))
  end
  return #expired
end

local count, charged_until, _, is_stored = read_state(shard, field)
local wait = charged_until - tonumber(ARGV[4]) - now
if wait > 0 then
  return {wait, 0, 0}
end
if not is_stored then
  local size, max = redis.call('HLEN', shard), tonumber(ARGV[3])
  -- At every 16th bucket too: a shard that never fills must not keep more than a few expired ones.
  if size >= max or (size > 0 and size % 16 == 0) then
    size = size - remove_expired()
  end
  if size >= max then
    return {-1, 0, 0}
  end
end

count = count + 1
local charge = tonumber(ARGV[math.min(FIRST_CHARGE + count - 1, #ARGV)])
if charge > 0 then
  charged_until = math.max(charged_until, now) + charge
end
local ttl = tonumber(count >= tonumber(ARGV[6]) and ARGV[7] or count * ARGV[5])
local kept_until = math.max(charged_until, now + ttl)
write_state(shard, field, count, charged_until, kept_until)
-- The shard is kept as long as its last bucket. The stored times decide; the TTL only removes the key.
local kept_for = math.max(kept_until - now, 1)
if redis.call('PTTL', shard) < kept_for then
  redis.call('PEXPIRE', shard, decimal(kept_for))
end
return {0, charge, count}
