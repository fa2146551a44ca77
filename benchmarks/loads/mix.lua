-- A thousand URLs in turn, from eight kinds of clients.
local agents = {
  "curl/8.4.0",
  "Wget/1.21.4",
  "pip/24.0 {\"ci\":null,\"cpu\":\"x86_64\",\"implementation\":{\"name\":\"CPython\",\"version\":\"3.12.3\"},\"python\":\"3.12.3\"}",
  "uv/0.5.9",
  "npm/10.8.2 node/v20.17.0 linux x64 workspaces/false",
  "Homebrew/4.4.9 (Macintosh; arm64 Mac OS X 15.1) curl/8.7.1",
  "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
  "Go-http-client/1.1",
}
local requests = {}
local number = 0

function init()
  for i = 1, 1000 do
    local headers = { ["Host"] = "get.acme.com", ["User-Agent"] = agents[i % #agents + 1], ["Accept"] = "*/*" }
    requests[i] = wrk.format("GET", "/linux/1." .. i .. ".0/rocket-skates.tgz", headers)
  end
end

function request()
  number = number % #requests + 1
  return requests[number]
end
