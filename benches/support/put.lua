-- makes wrk send the body of a call, which is its argument
function init(arguments)
  wrk.method = "PUT"
  wrk.body = arguments[1]
  wrk.headers["Content-Type"] = "application/json"
end
