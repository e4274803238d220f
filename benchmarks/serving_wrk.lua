-- Posts the bodies of a file (its first argument, one per line in hexadecimal digits) in turn, with a content type (its
-- second), and prints the result as one line of JSON.

local requests, sent = {}, 0

function init(arguments)
  local headers = {["Content-Type"] = arguments[2]}
  for body in io.lines(arguments[1]) do
    local content = body:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)
    requests[#requests + 1] = wrk.format("POST", nil, headers, content)
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local answers = summary.requests - errors.status
  local line = '{"answers": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d}\n'
  local p50, p99 = latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  io.write(line:format(answers, summary.duration / 1e6, p50, p99, failed))
end
