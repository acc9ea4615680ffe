-- The prelude of all scripts. ARGV[1] is the clock offset in ms, which is 0 except in tests; `now` is in ms since 1970.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]

-- Formats an integer. Lua would write a large one with an exponent.
local function decimal(number)
  return string.format('%.0f', number)
end
