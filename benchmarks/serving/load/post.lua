-- Posts the content of one file in every request.

local file = assert(io.open(os.getenv("WRK_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()

dofile(os.getenv("WRK_REPORT"))
