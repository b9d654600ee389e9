-- Sends the bodies that stand in a file, one a line, in random order.

local bodies = {}
for line in io.lines(os.getenv("WRK_BODY")) do
  bodies[#bodies + 1] = wrk.format("POST", nil, {["Content-Type"] = "application/json"}, line)
end

function setup(thread)
  thread:set("seed", os.time())
end

function init(_)
  math.randomseed(seed)
end

function request()
  return bodies[math.random(#bodies)]
end
