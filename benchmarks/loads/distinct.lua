-- No URL twice: a counter, behind the time of day, so that one run does not repeat another.
local number = 0
local began = os.time()
local rest = " HTTP/1.1\r\nHost: get.acme.com\r\nUser-Agent: curl/8.4.0\r\nAccept: */*\r\n\r\n"

function request()
  number = number + 1
  return "GET /linux/" .. began .. "." .. number .. ".0/rocket-skates.tgz" .. rest
end
