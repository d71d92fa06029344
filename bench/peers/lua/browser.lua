-- A dozen fields as a browser sends them, the same on a connection from its first request to its last, and no two
-- connections alike. A thread of wrk has one Lua state and knows no connections, so each connection is a thread; the
-- request is made once, before the first is sent.
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local languages = { "en-GB,en;q=0.9", "de-DE,de;q=0.9,en;q=0.7", "fr-FR,fr;q=0.8,en;q=0.5", "nl,en-US;q=0.7,en;q=0.3" }
  local platforms = { "Windows", "macOS", "Linux", "Android" }
  local version = 120 + number % 16
  local platform = platforms[number % 4 + 1]
  local h = wrk.headers
  h["Connection"] = "keep-alive"
  h["sec-ch-ua"] = string.format('"Chromium";v="%d", "Not=A?Brand";v="24"', version)
  h["sec-ch-ua-mobile"] = platform == "Android" and "?1" or "?0"
  h["sec-ch-ua-platform"] = '"' .. platform .. '"'
  h["User-Agent"] = string.format(
    "Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", platform, version)
  h["Accept"] = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
  h["Sec-Fetch-Site"] = "same-origin"
  h["Sec-Fetch-Mode"] = "no-cors"
  h["Sec-Fetch-Dest"] = "image"
  h["Referer"] = string.format("http://shop.example/category/%d?page=%d", number * 37, number)
  h["Accept-Encoding"] = "gzip, deflate, br, zstd"
  h["Accept-Language"] = languages[math.floor(number / 4) % 4 + 1]
  h["Cookie"] = string.format("session=%08x%08x; theme=dark; seen=%d", number * 2654435, number * 40503, number)
end
