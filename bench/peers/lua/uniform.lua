-- Any of the objects, each as likely as the others. Arguments: the path before the number, how many, a seed.
local head, tail, last
local random = math.random

function init(args)
  head = "GET " .. args[1]
  tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
  last = tonumber(args[2]) - 1
  math.randomseed(tonumber(args[3]))
end

function request()
  return head .. random(0, last) .. tail
end
