-- wrk as a client of a forward proxy. Arguments behind "--": method, absolute URL, Proxy-Authorization, body bytes, and
-- "varied" when no request is to be like another: each has its own query, and a field with its own value.
local text
local start, rest
local count = 0

function init(args)
  local method, url, authorization, size = args[1], args[2], args[3], tonumber(args[4])
  local lines = {
    method .. " " .. url .. " HTTP/1.1",
    "Host: " .. url:match("^http://([^/]+)"),
    "User-Agent: wrk",
    "Accept: */*",
  }
  if authorization ~= "" then lines[#lines + 1] = "Proxy-Authorization: " .. authorization end
  if size > 0 then lines[#lines + 1] = "Content-Length: " .. size end
  if args[5] == "varied" then
    start = method .. " " .. url .. "?n="
    table.remove(lines, 1)
    rest = table.concat(lines, "\r\n") .. "\r\nX-Request-ID: "
    return
  end
  text = table.concat(lines, "\r\n") .. "\r\n\r\n" .. string.rep("x", size)
end

function request()
  if text then return text end
  count = count + 1
  return start .. count .. " HTTP/1.1\r\n" .. rest .. count .. "\r\n\r\n"
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('BENCH {"requests":%d,"micros":%d,"bytes":%d,"refused":%d,"failed":%d}',
    summary.requests, summary.duration, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout))
end
