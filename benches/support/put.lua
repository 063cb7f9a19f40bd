-- what wrk sends: the call's body, given as its argument
function init(arguments)
  wrk.method = "PUT"
  wrk.body = arguments[1]
  wrk.headers["Content-Type"] = "application/json"
end
