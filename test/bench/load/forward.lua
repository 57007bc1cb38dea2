-- wrk as a client of a forward proxy. Arguments behind "--": method, absolute URL, Proxy-Authorization, body bytes.
local text

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
  text = table.concat(lines, "\r\n") .. "\r\n\r\n" .. string.rep("x", size)
end

function request()
  return text
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('BENCH {"requests":%d,"micros":%d,"bytes":%d,"refused":%d,"failed":%d}',
    summary.requests, summary.duration, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout))
end
