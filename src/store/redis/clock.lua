-- What every script begins with. ARGV[1] is how far a test has moved the clock, in milliseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]

-- Lua would write a large number with an exponent.
local function decimal(number)
  return string.format('%.0f', number)
end
