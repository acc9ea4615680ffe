-- The requests of a measurement, for wrk. Environment:
--     METHOD        GET or POST
--     CREDENTIAL    bearer, refresh, cookie, login or none: where the token of a request goes
--     TOKENS        the file of the tokens, each a line of the same length; none if CREDENTIAL is login or none
--     START         the number of the first token to send
--     CYCLE         the number of tokens to repeat from the beginning of the file, or 0 to send each only once
--     PASSWORD      the password of all users, for CREDENTIAL=login, which logs in CYCLE users in turn
-- Prints `counted`, then the responses, the duration in µs, the median and the 99th percentile of the response time in µs, the
-- responses with an error status, the connections that failed, and the number of the next token.

local credential, cycle = os.getenv("CREDENTIAL"), tonumber(os.getenv("CYCLE"))
local placeholder = "@"
local before, after, tokens
local cached = {}
position = tonumber(os.getenv("START"))

-- The body of a login, with the email of a user as benches/floor stores it.
local function login(number)
    return string.format('{"email":"user-%07d@example.org","password":"%s"}', number, os.getenv("PASSWORD"))
end

-- Splits the request at the place of the token.
local function prepare()
    local headers, body = { Host = wrk.host .. ":" .. wrk.port }, nil
    if credential == "bearer" then
        headers["Authorization"] = "Bearer " .. placeholder
    elseif credential == "cookie" then
        headers["Cookie"] = "id=" .. placeholder
    elseif credential == "refresh" then
        body = '{"refresh":"' .. placeholder .. '"}'
    elseif credential == "login" then
        body = login(0)
    end
    if body then
        headers["Content-Type"] = "application/json"
    end
    local length = tokens and #tokens:read("*l") or #placeholder
    local request = wrk.format(os.getenv("METHOD"), nil, headers, body)
    if tokens then
        if body then
            local bytes = #body - #placeholder + length
            request = request:gsub("Content%-Length: %d+", "Content-Length: " .. bytes)
        end
        before, after = request:match("^(.*)" .. placeholder .. "(.*)$")
        tokens:seek("set", position * (length + 1))
    elseif credential == "login" then
        for number = 0, cycle - 1 do
            cached[number] = wrk.format(os.getenv("METHOD"), nil, headers, login(number))
        end
    else
        cached[0], cycle = request, 1
    end
end

function init()
    local file = os.getenv("TOKENS")
    tokens = file and file ~= "" and assert(io.open(file)) or nil
    prepare()
    if tokens and cycle > 0 then
        tokens:seek("set", 0)
        for number = 0, cycle - 1 do
            cached[number] = before .. tokens:read("*l") .. after
        end
    end
end

function request()
    local number = position
    position = position + 1
    if cycle > 0 then
        return cached[number % cycle]
    end
    return before .. assert(tokens:read("*l"), "no token is left") .. after
end

local threads = {}

function setup(thread)
    threads[#threads + 1] = thread
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("counted %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect + errors.read + errors.write + errors.timeout, threads[1]:get("position")))
end
