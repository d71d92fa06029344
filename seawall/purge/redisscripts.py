"""What Redis is asked to do with the journal: seven scripts, each of which checks before it writes, in one step.

Pure text; redisledger.py sends it. Three keys, in one hash slot (`{journal}`), always in this order:

    KEYS[1]  <ns>:{journal}:hub     string with a time to live: who numbers now, `<owner>.<epoch>`
    KEYS[2]  <ns>:{journal}:about   hash: version, id, last; hub, run, replid, durable of who took it last
    KEYS[3]  <ns>:{journal}:orders  stream: `<number>-0` order <JSON>

`epoch` is raised whenever the hub did not hear what became of a command. A command that was sent before and arrives
afterwards (a frozen Redis reads what lies in its sockets) then says the wrong epoch, so what a script found out about
the past stays true.

`run` is the server process (INFO run_id): a script that meets another one does nothing, because the data may be older
than what the former one had acknowledged. `replid` is the line of replication: it changes when a replica is promoted.
"""

from __future__ import annotations

VERSION = 1

_ABOUT_THE_SERVER = """
local function server(section, field) return string.match(redis.call('INFO', section), field .. ':(%w+)') end
local function top()
  local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
  return newest and newest[1] or ''
end
"""

# value, ttl ms -> lease holder | taken run replid top about...
TAKE = (
    _ABOUT_THE_SERVER
    + """
local holder = redis.call('GET', KEYS[1])
if holder then return {'lease', holder} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'taken', server('server', 'run_id'), server('replication', 'master_replid'), top(),
        redis.call('HGETALL', KEYS[2])}
"""
)

# value, ttl ms, first number, how many -> lease holder | read entries
READ = """
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then return {'lease', holder or ''} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'read', redis.call('XRANGE', KEYS[3], ARGV[3] .. '-0', '+', 'COUNT', ARGV[4])}
"""

# value, ttl ms, owner, run, replid, durable, new id or '', version -> lease holder | run now | settled
SETTLE = (
    _ABOUT_THE_SERVER
    + """
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then return {'lease', holder or ''} end
local run = server('server', 'run_id')
if run ~= ARGV[4] then return {'run', run} end
if ARGV[7] ~= '' then
  redis.call('DEL', KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[2], 'version', ARGV[8], 'id', ARGV[7], 'last', '0')
end
redis.call('HSET', KEYS[2], 'hub', ARGV[3], 'run', run, 'replid', ARGV[5], 'durable', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'settled'}
"""
)

# value, run, id, last, order, order... -> lease holder | run now | id now | last now | done
APPEND = (
    _ABOUT_THE_SERVER
    + """
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then return {'lease', holder or ''} end
local run = server('server', 'run_id')
if run ~= ARGV[2] then return {'run', run} end
local known = redis.call('HMGET', KEYS[2], 'id', 'last')
if known[1] ~= ARGV[3] then return {'id', known[1] or ''} end
if known[2] ~= ARGV[4] then return {'last', known[2] or ''} end
local last = tonumber(ARGV[4])
for at = 5, #ARGV do
  last = last + 1
  redis.call('XADD', KEYS[3], string.format('%.0f-0', last), 'order', ARGV[at])
end
redis.call('HSET', KEYS[2], 'last', string.format('%.0f', last))
return {'done'}
"""
)

# owner, its new epoch, ttl ms, run, id, last, durable -> lease holder | run now | id now | last now | held last top
# A lease that ran out is taken again where nobody had it meanwhile. Where it stands and keeps its epoch it is only
# prolonged, which a Redis without memory still does.
TOUCH = (
    _ABOUT_THE_SERVER
    + """
local holder, value = redis.call('GET', KEYS[1]), ARGV[1] .. '.' .. ARGV[2]
if holder and string.sub(holder, 1, #ARGV[1] + 1) ~= ARGV[1] .. '.' then return {'lease', holder} end
local run, replid = server('server', 'run_id'), server('replication', 'master_replid')
local known = redis.call('HMGET', KEYS[2], 'id', 'last', 'hub', 'replid', 'durable')
if run ~= ARGV[4] or (not holder and known[4] and known[4] ~= replid) then return {'run', run} end
if known[1] ~= ARGV[5] then return {'id', known[1] or ''} end
if known[3] ~= ARGV[1] then return {'lease', known[3] or ''} end
if tonumber(known[2] or '0') < tonumber(ARGV[6]) then return {'last', known[2] or ''} end
if holder == value then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
end
if known[4] ~= replid or known[5] ~= ARGV[7] then
  redis.pcall('HSET', KEYS[2], 'replid', replid, 'durable', ARGV[7])
end
return {'held', known[2], top()}
"""
)

# value, first number to keep -> lease holder | done
TRIM = """
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] then return {'lease', holder or ''} end
redis.call('XTRIM', KEYS[3], 'MINID', '=', ARGV[2] .. '-0')
return {'done'}
"""

# owner
RELEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, #ARGV[1] + 1) == ARGV[1] .. '.' then redis.call('DEL', KEYS[1]) end
return {'done'}
"""
