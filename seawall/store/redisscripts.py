"""What is done inside Redis, each in one step on one bucket (redislayout.py): the Lua scripts.

Law of all of them: no KEYS and no walk without a limit, and whatever lies in the place of an index that is no index
counts as none. A script is refused by a full Redis only at its first write, if that needs memory. So `put` begins
with such a one, and changes nothing when it is refused; whatever forgets begins with one that needs none, because to
forget must not depend on room.

A slot that is being moved to another server is there in parts. The index decides what can be read, so it is
changed first, and keys of objects, which a script may not reach then, are touched under pcall.
"""

from __future__ import annotations

from seawall.store.redisclient import Script

# An index outlives every object: 30 days (redislevel.py) and one more.
_INDEX_MS = 31 * 24 * 3600 * 1000

_COMMON = f"""
local INDEX_MS = {_INDEX_MS}
local DIGEST = 16

local function kind(key) return redis.call('TYPE', key).ok end

local function header(index)
  if kind(index) ~= 'zset' then return nil end
  if redis.call('ZCOUNT', index, 0, 0) ~= redis.call('ZCARD', index) then return nil end
  local found = redis.call('ZRANGEBYLEX', index, '[m', '(n', 'LIMIT', 0, 2)
  if #found ~= 1 then return nil end
  local done, gate, journal = string.match(found[1], '^m(%d+) (%d+) (.*)$')
  if not done or #done > 15 or #gate > 15 then return nil end
  return {{member = found[1], done = tonumber(done), gate = tonumber(gate), journal = journal}}
end

local function write_header(index, old, journal, done, gate)
  if old then redis.call('ZREM', index, old.member) end
  redis.call('ZADD', index, 0, string.format('m%.0f %.0f ', done, gate) .. journal)
  redis.call('PEXPIRE', index, INDEX_MS)
end

local function renew(index, dead, journal, done, gate)
  redis.call('UNLINK', dead)
  local is = kind(index)
  if is == 'zset' then redis.call('RENAME', index, dead) elseif is ~= 'none' then redis.call('UNLINK', index) end
  write_header(index, nil, journal, done, gate)
end

local function object_of(prefix, name)
  local cut = string.find(name, '\\n\\n', 1, true)
  return prefix .. redis.sha1hex(cut and string.sub(name, 1, cut - 1) or name)
end

local function facts(object, name)
  local said = redis.pcall('HGET', object, 'h' .. name)
  if type(said) ~= 'string' then return nil end
  return string.match(said, '^(%d+)[^ ]* (.*)$')
end

local function stored_ms(said) return type(said) == 'string' and tonumber(string.match(said, '^%d+:(%d+) ')) end

local function has_tag(tags, digest)
  for at = 1, #tags, DIGEST do
    if string.sub(tags, at, at + DIGEST - 1) == digest then return true end
  end
  return false
end

local function in_pieces(command, key, list)
  for at = 1, #list, 1000 do
    redis.call(command, key, unpack(list, at, math.min(at + 999, #list)))
  end
end

local function bury(object, name) redis.pcall('HDEL', object, 'h' .. name, 'v' .. name) end

local function forget(index, prefix, name)
  local object = object_of(prefix, name)
  local body, tags = facts(object, name)
  local members = {{'u' .. name}}
  for at = 1, #(tags or ''), DIGEST do
    members[#members + 1] = 't' .. string.sub(tags, at, at + DIGEST - 1) .. name
  end
  in_pieces('ZREM', index, members)
  bury(object, name)
  return body
end

local function sweep_dead(index, dead, prefix, most)
  if kind(dead) ~= 'zset' then return false, {{}} end
  local met = {{}}
  local members = redis.call('ZRANGEBYLEX', dead, '[u', '(v', 'LIMIT', 0, most)
  for _, member in ipairs(members) do
    local name = string.sub(member, 2)
    if not redis.call('ZSCORE', index, member) then
      local object = object_of(prefix, name)
      local body = facts(object, name)
      bury(object, name)
      if body then
        met[#met + 1] = name
        met[#met + 1] = body
      end
    end
  end
  if #members < most then
    redis.call('UNLINK', dead)
    return false, met
  end
  in_pieces('ZREM', dead, members)
  return true, met
end

local function count(index) return redis.call('ZLEXCOUNT', index, '[u', '(v') end
"""

# KEYS index object. -> journal, done, then name and value of each object that the index names; nothing without one.
READ = Script(
    _COMMON
    + """
local head = header(KEYS[1])
if not head then return {} end
local found = {head.journal, string.format('%.0f', head.done)}
if kind(KEYS[2]) ~= 'hash' or redis.call('HLEN', KEYS[2]) > tonumber(ARGV[1]) then return found end
local fields = redis.call('HGETALL', KEYS[2])
for at = 1, #fields, 2 do
  local name = string.sub(fields[at], 2)
  if string.sub(fields[at], 1, 1) == 'v' and redis.call('ZSCORE', KEYS[1], 'u' .. name) then
    found[#found + 1] = name
    found[#found + 1] = fields[at + 1]
  end
end
return found
"""
)

# KEYS index object dead. -> ok and how many objects the bucket has; or overtaken, full.
# ARGV prefix journal number name parts value facts ttl most_octets most_objects dice
#
# What was stored later stays: a put may have waited while its node could not write, and others wrote meanwhile. It is
# as if it had come in time and had been replaced.
#
# It also looks at a few members of the index, from anywhere on, and takes out those whose object has expired: twice as
# many as it adds, so that an index has at most about as many dead members as live ones, and no walk is needed.
PUT = Script(
    _COMMON
    + """
local index, object, dead = KEYS[1], KEYS[2], KEYS[3]
local prefix, journal, number, name, parts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local value, said, ttl = ARGV[6], ARGV[7], tonumber(ARGV[8])
local head = header(index)
if head and (head.journal ~= journal or head.done > number or head.gate > number) then return {'overtaken'} end

local there = head and redis.call('ZSCORE', index, 'u' .. name) and stored_ms(redis.pcall('HGET', object, 'h' .. name))
if there and there > (stored_ms(said) or 0) then return {'ok', count(index)} end

local is = kind(object)
local others = is == 'hash' and redis.call('HKEYS', object) or {}
local _, old_tags = facts(object, name)
if is ~= 'hash' and is ~= 'none' then redis.call('UNLINK', object) end
local wrote = redis.pcall('HSET', object, 'v' .. name, value, 'h' .. name, said)
if type(wrote) == 'table' and wrote.err then
  if string.find(wrote.err, 'OOM', 1, true) then return {'full'} end
  return wrote
end
if redis.call('PTTL', object) < ttl then redis.call('PEXPIRE', object, ttl) end

if not head then
  if kind(index) ~= 'none' then redis.call('UNLINK', index) end
  write_header(index, nil, journal, number, number)
else
  redis.call('PEXPIRE', index, INDEX_MS)
end
local tags = string.match(said, '^%d+[^ ]* (.*)$')
local stale = {}
for at = 1, #(old_tags or ''), DIGEST do
  local digest = string.sub(old_tags, at, at + DIGEST - 1)
  if not has_tag(tags, digest) then stale[#stale + 1] = 't' .. digest .. name end
end
in_pieces('ZREM', index, stale)
local members = {0, 'u' .. name}
for at = 1, #tags, DIGEST do
  members[#members + 1] = 0
  members[#members + 1] = 't' .. string.sub(tags, at, at + DIGEST - 1) .. name
end
in_pieces('ZADD', index, members)

local octets, objects = #value, 1
for _, field in ipairs(others) do
  local other = string.sub(field, 2)
  if string.sub(field, 1, 1) == 'v' and other ~= name then
    local size = redis.call('HSTRLEN', object, field)
    local gone = not redis.call('ZSCORE', index, 'u' .. other)
      or (#parts > 0 and string.sub(other, 1, #parts) == parts)
      or octets + size > tonumber(ARGV[9]) or objects >= tonumber(ARGV[10])
    if gone then
      forget(index, prefix, other)
    else
      octets, objects = octets + size, objects + 1
    end
  end
end

local some = #members + 8
local from = tonumber(ARGV[11]) % redis.call('ZCARD', index)
local expired = {}
for _, member in ipairs(redis.call('ZRANGE', index, from, from + some - 1)) do
  local what = string.sub(member, 1, 1)
  if what ~= 'm' then
    local of = string.sub(member, what == 't' and DIGEST + 2 or 2)
    if redis.pcall('HEXISTS', object_of(prefix, of), 'h' .. of) == 0 then expired[#expired + 1] = member end
  end
end
in_pieces('ZREM', index, expired)
sweep_dead(index, dead, prefix, some)
return {'ok', count(index)}
"""
)

# KEYS index dead. ARGV prefix journal number most all, then begin and end of each range. number -1: no order asks.
# -> what is left to do, objects in the bucket, then name and octets of each that was met.
#    0 nothing, 1 the same again, 2 what lies in `dead` may be swept (BURY)
#
# The gate is raised first: while the slices of one order follow each other, nothing older can come in behind them.
FORGET = Script(
    _COMMON
    + """
local index, dead = KEYS[1], KEYS[2]
local prefix, journal, number, most, all = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local head = header(index)
-- Before the first order of a journal nothing was missed of it, also where no node had heard of a journal yet.
if head and number == 1 and head.journal == '' and head.done == 0 then head.journal = journal end
if number >= 0 then
  if not head or head.journal ~= journal or head.done < number - 1 then
    renew(index, dead, journal, number, number)
    return {all and 2 or 0, 0}
  end
  if head.done >= number then return {0, count(index)} end
  if all then
    renew(index, dead, journal, number, math.max(head.gate, number))
    return {2, 0}
  end
  if head.gate < number then
    write_header(index, head, journal, head.done, number)
    head = header(index)
  end
elseif not head then
  return {0, 0}
elseif all then
  renew(index, dead, head.journal, head.done, head.gate)
  return {2, 0}
end

local left = most
local met = {}
for at = 6, #ARGV, 2 do
  while true do
    if left <= 0 then return {1, count(index), unpack(met)} end
    local asked = left
    local members = redis.call('ZRANGEBYLEX', index, ARGV[at], ARGV[at + 1], 'LIMIT', 0, asked)
    left = left - #members
    for _, member in ipairs(members) do
      local tag = string.sub(member, 1, 1) == 't' and string.sub(member, 2, DIGEST + 1)
      local name = string.sub(member, tag and DIGEST + 2 or 2)
      local body, tags = facts(object_of(prefix, name), name)
      if not tag or (tags and has_tag(tags, tag)) then
        local was = redis.call('ZSCORE', index, 'u' .. name)
        forget(index, prefix, name)
        if was and body then
          met[#met + 1] = name
          met[#met + 1] = body
        end
      end
      if tag then redis.call('ZREM', index, member) end
    end
    if #members < asked then break end
  end
end
if number >= 0 then write_header(index, head, journal, number, math.max(head.gate, number)) end
return {0, count(index), unpack(met)}
"""
)

# KEYS index dead. ARGV prefix most. -> 1 while there is more, then name and octets of each that was swept away.
BURY = Script(
    _COMMON
    + """
local more, met = sweep_dead(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]))
return {more and 1 or 0, unpack(met)}
"""
)

# KEYS index. ARGV prefix most, then begin and end of each range. Changes nothing.
# -> the range that it did not come to the end of (0: none), the last member it saw there, then name and octets.
COUNT = Script(
    _COMMON
    + """
local index, prefix, left = KEYS[1], ARGV[1], tonumber(ARGV[2])
if not header(index) then return {0, ''} end
local met = {}
for at = 3, #ARGV, 2 do
  local asked = left
  local members = redis.call('ZRANGEBYLEX', index, ARGV[at], ARGV[at + 1], 'LIMIT', 0, asked)
  for _, member in ipairs(members) do
    local tag = string.sub(member, 1, 1) == 't' and string.sub(member, 2, DIGEST + 1)
    local name = string.sub(member, tag and DIGEST + 2 or 2)
    local body, tags = facts(object_of(prefix, name), name)
    if body and (not tag or has_tag(tags, tag)) and redis.call('ZSCORE', index, 'u' .. name) then
      met[#met + 1] = name
      met[#met + 1] = body
    end
  end
  left = left - #members
  if left <= 0 then return {(at - 1) / 2, members[#members], unpack(met)} end
end
return {0, '', unpack(met)}
"""
)

# KEYS index dead. ARGV journal number. What the bucket holds is dead, unless it has come as far already.
RESET = Script(
    _COMMON
    + """
local head = header(KEYS[1])
local number = tonumber(ARGV[2])
if head and head.journal == ARGV[1] and head.done >= number then return 0 end
renew(KEYS[1], KEYS[2], ARGV[1], number, number)
return 1
"""
)

# KEYS index object. ARGV prefix name digest: takes an object out if it is still the one that was read.
DISCARD = Script(
    _COMMON
    + """
local value = redis.pcall('HGET', KEYS[2], 'v' .. ARGV[2])
if type(value) ~= 'string' or redis.sha1hex(value) ~= ARGV[3] then return 0 end
forget(KEYS[1], ARGV[1], ARGV[2])
return 1
"""
)

ALL = (READ, PUT, FORGET, BURY, COUNT, RESET, DISCARD)
