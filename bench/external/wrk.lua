-- Sign-in pages of the payment links that the file $LINKS names, one a line; each thread begins at another link.
-- There is no response(): with one, wrk hands every answer to Lua, and needs a third more time for each. Answers that are not a page
-- carry another status, and wrk counts those itself.
local threads = 0

function setup(thread)
  thread:set("offset", threads * 7919)
  threads = threads + 1
end

function init()
  requests = {}
  for link in io.lines(os.getenv("LINKS")) do
    requests[#requests + 1] = wrk.format("GET", link:match("^http://[^/]+(/.*)$"))
  end
  if #requests == 0 then error("no payment link in $LINKS") end
end

function request()
  offset = offset + 1
  return requests[offset % #requests + 1]
end

-- One line for programs, in milliseconds. wrk has invented samples by now for answers that came late: see docs/load-tools.md.
function done(summary, latency, _)
  local e = summary.errors
  print(string.format(
    '{"requests":%d,"seconds":%.3f,"p50":%.3f,"p95":%.3f,"p99":%.3f,"p999":%.3f,"max":%.3f,"refused":%d,"timeouts":%d,"socketErrors":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3, e.status, e.timeout, e.connect + e.read + e.write))
end
