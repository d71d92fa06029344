-- The object of rank r with a likelihood of r^-s. Arguments: the path before the number, how many, s, a seed.
-- Drawn beforehand: a search for each request would be the generator's work, and it is the server that is measured.
local DRAWN = 131072
local requests, at = {}, 0

function init(args)
  local head, count, skew = "GET " .. args[1], tonumber(args[2]), tonumber(args[3])
  local tail = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
  math.randomseed(tonumber(args[4]))
  local sums, total = {}, 0
  for rank = 1, count do
    total = total + rank ^ -skew
    sums[rank] = total
  end
  for n = 1, DRAWN do
    local wanted, low, high = math.random() * total, 1, count
    while low < high do
      local middle = math.floor((low + high) / 2)
      if sums[middle] < wanted then low = middle + 1 else high = middle end
    end
    requests[n] = head .. (low - 1) .. tail
  end
end

function request()
  at = at % DRAWN + 1
  return requests[at]
end
