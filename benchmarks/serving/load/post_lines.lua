-- Posts the lines of a file in random order, one line a request.

local requests = {}

function init(_)
  local headers = {["Content-Type"] = "application/json", ["Host"] = wrk.headers["Host"]}
  for line in io.lines(os.getenv("WRK_BODY")) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, line)
  end
  math.randomseed(#requests)
end

function request()
  return requests[math.random(#requests)]
end

dofile(os.getenv("WRK_REPORT"))
