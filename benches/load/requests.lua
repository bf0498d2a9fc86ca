-- What wrk sends: the requests of a sequence, over and over. A line of the sequence names a file of tokens and a line in it, or `-`.
--
--   wrk ... -s requests.lua URL -- SEQUENCE TOKENS METHOD PATH BODY_BYTES CONNECTION
--
-- In PATH, {n} is the line. Every request is written before the first is sent.

local written = {}

local function tokens_of(directory, kind, last)
    local tokens = {}
    for token in io.lines(directory .. "/" .. kind) do
        tokens[#tokens + 1] = token
        if #tokens > last then break end
    end
    return tokens
end

function init(args)
    local sequence, directory, method, path, body_bytes, connection = unpack(args)
    local body = tonumber(body_bytes) > 0 and string.rep("x", tonumber(body_bytes)) or nil

    local last, steps = {}, {}
    for line in io.lines(sequence) do
        local kind, at = line:match("^(%S+) (%d+)$")
        at = tonumber(at)
        last[kind] = math.max(last[kind] or 0, at)
        steps[#steps + 1] = { kind, at }
    end

    local tokens, known = {}, {}
    for kind, most in pairs(last) do
        tokens[kind] = kind == "-" and {} or tokens_of(directory, kind, most)
        known[kind] = {}
    end
    for _, step in ipairs(steps) do
        local kind, at = step[1], step[2]
        if not known[kind][at] then
            local headers = { Connection = connection }
            if kind ~= "-" then headers["Authorization"] = "Bearer " .. tokens[kind][at + 1] end
            known[kind][at] = wrk.format(method, path:gsub("{n}", at), headers, body)
        end
        written[#written + 1] = known[kind][at]
    end
end

local at = 0

function request()
    at = at % #written + 1
    return written[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"requests": %d, "seconds": %f, "broken": %d, "refused": %d, "p50": %f, "p99": %f, "p999": %f}\n',
        summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9)
    ))
end
