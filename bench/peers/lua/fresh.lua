-- Each URL once: arguments are the path before the number, and the first number.
local head, tail, number

function init(args)
  head = "GET " .. args[1]
  tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
  number = tonumber(args[2])
end

function request()
  number = number + 1
  return head .. number .. tail
end
