-- Sends the body that stands in a file, again and again.

local file = assert(io.open(os.getenv("WRK_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()

dofile(os.getenv("WRK_TELLS"))
