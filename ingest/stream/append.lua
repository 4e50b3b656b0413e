#!lua name=veritas_ingest_@VERSION@
--
-- Everything that ingest does inside Redis, one call a request. @VERSION@ is a digest of this file, so that old and new
-- tiers run side by side during a rolling deploy.
--
-- What its keys and their fields hold, and who writes and reads them: docs/redis-keys.md.
--
-- Nothing may fail after the first write: a function that fails halfway keeps what it wrote. So everything is checked
-- first, and the XADD, the only write that can be refused (stale epoch, memory), comes before all others.

local UNKNOWN = 2^52
local PIECE = 48
local RECENT = 16 * PIECE
local DUPLICATES_PER_EVENT = 10 -- what is received again counts that much less in the rate
local SEQUENCE_MAX = 4194303
local LATE_TOLERANCE_US = 2000000
-- The rule of clocks and silences is written out in clocks.py, which also gives these numbers.
local CONTACT_LOST_US = @CONTACT_LOST_US@
local TOLERANCE_US = @TOLERANCE_US@
local UNDER_WAY_US = @UNDER_WAY_US@
local FILL_US = @FILL_US@
local SILENCES_KEPT = @SILENCES_KEPT@

local function text(number) return string.format('%.0f', number) end

local function now_us()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function parse(ranges)
  local list = {}
  if ranges then
    for from, to in string.gmatch(ranges, '(%d+)-(%d+)') do list[#list + 1] = { tonumber(from), tonumber(to) } end
  end
  return list
end

local function format(list)
  local out = {}
  for i, range in ipairs(list) do out[i] = text(range[1]) .. '-' .. text(range[2]) end
  return table.concat(out, ',')
end

-- The parts of `wanted` that `have` does not hold; both sorted and disjoint.
local function missing(have, wanted)
  local out, i = {}, 1
  for _, range in ipairs(wanted) do
    local from, to = range[1], range[2]
    while have[i] and have[i][2] < from do i = i + 1 end
    local j = i
    while from <= to do
      local known = have[j]
      if not known or known[1] > to then
        out[#out + 1] = { from, to }
        break
      end
      if known[1] > from then out[#out + 1] = { from, known[1] - 1 } end
      from = known[2] + 1
      j = j + 1
    end
  end
  return out
end

-- The union of two sorted lists of disjoint ranges, touching ones joined.
local function union(a, b)
  local out, i, j = {}, 1, 1
  while a[i] or b[j] do
    local nxt
    if not b[j] or (a[i] and a[i][1] <= b[j][1]) then nxt, i = a[i], i + 1 else nxt, j = b[j], j + 1 end
    local last = out[#out]
    if last and nxt[1] <= last[2] + 1 then
      if nxt[2] > last[2] then last[2] = nxt[2] end
    else
      out[#out + 1] = { nxt[1], nxt[2] }
    end
  end
  return out
end

-- The sender's silences that are remembered, with the one that this append ends. `clocks.silences` is the definition.
local function silences(known, at, contact, window)
  local list = parse(known)
  if at - contact <= CONTACT_LOST_US then return list, false end
  local kept = {}
  for _, silence in ipairs(list) do
    if at - silence[2] <= window then kept[#kept + 1] = silence end
  end
  kept[#kept + 1] = { contact, at }
  if #kept > SILENCES_KEPT then table.remove(kept, 1) end
  return kept, true
end

-- The clock after a live heartbeat, and the offset before where that confirms a step. `clocks.follow` is the definition.
local function follow(clock, sample, at, reach, returned)
  if not clock then return { sample, sample, at } end
  local offset, candidate, since, firm = clock[1], clock[2], clock[3], clock[4]
  if not candidate then firm = offset end
  local confirmed
  if candidate and math.abs(sample - candidate) <= TOLERANCE_US then
    if returned > since then return { offset, sample, at, firm } end
    if at - since < TOLERANCE_US then return clock end
    confirmed = sample
  elseif math.abs(sample - offset) <= TOLERANCE_US then
    confirmed = sample < offset and sample or offset + math.floor((sample - offset) / 16)
  end
  if confirmed then return { confirmed }, firm and math.abs(confirmed - firm) > TOLERANCE_US and firm or nil end
  local doubtful = reach > 0 and sample > offset and sample - offset <= reach + UNDER_WAY_US
  return { doubtful and offset or sample, sample, at, firm }
end

local function parse_clock(packed)
  if not packed then return nil end
  local offset, candidate, since, firm = string.match(packed, '(%S+) (%S+) (%S+) (%S+)')
  return { tonumber(offset), tonumber(candidate), tonumber(since), tonumber(firm) }
end

local function format_clock(clock)
  local out = {}
  for i = 1, 4 do out[i] = clock[i] and text(clock[i]) or '-' end
  return table.concat(out, ' ')
end

local function count(list)
  local sum = 0
  for _, range in ipairs(list) do sum = sum + range[2] - range[1] + 1 end
  return sum
end

-- Where the pieces still remembered put the wanted ranges, newest first; in the form of a piece.
local function located(recent, wanted)
  local out = {}
  for at = #recent - PIECE + 1, 1, -PIECE do
    local from, to, seq, time, counter, digest = struct.unpack('<dddddc8', recent, at)
    for _, range in ipairs(wanted) do
      local low, high = math.max(from, range[1]), math.min(to, range[2])
      if low <= high then
        local first = seq == 0 and 0 or seq + low - from
        out[#out + 1] = struct.pack('<dddddc8', low, high, first, time, counter, digest)
      end
    end
  end
  return table.concat(out)
end

-- The theoretical arrival time after what costs so much, and how many ms too early that is (0: within the burst).
local function arrival_after(tat, now, cost, burst)
  local paid = tonumber(tat) or 0
  if paid > now + burst then paid = now end -- nothing that was let in reaches so far: Redis's clock was set back
  local arrival = math.max(paid, now) + cost
  return arrival, math.max(0, math.ceil((arrival - now - burst) / 1000))
end

local function header(session, seq, events, at, previous, offset, late)
  return struct.pack('<i8i8i8i8i8i8i8', session, seq, events, at, previous, offset, late)
end

-- KEYS  session, stream, shard, the two hashes of idempotency keys (the session's key when none was sent)
-- ARGV  1 epoch  2 session  3 events  4 client ('' for none)  5 clientSequence ranges of the batch ('' for none)
--       6 candidate ('' for a service)  7 organisation  8 violations  9 latest client time us of its live heartbeats ('' for
--       none)  10 latest client time us of what the client does not declare as buffered ('' when such an event has none, 0
--       when all is declared)  11 us an event costs (0: our own event)  12 us of burst
--       13 late window us  14 ranges kept at most  15 idempotency window s ('' for no key)  16 digest of the body  17 batch
--       18 client instances of a session at most  19 exam that the sender is bound to ('' for none)
--       20 1 where an event is declared as buffered  21 those of 5 that were refused: received and settled, without an
--       event  22 digest of the batch (8 bytes)  23 digest of the key (16)  24 keys that one hash holds
--       (calls.py writes them)
-- Reply {word, …}:
--   ok      first sequence, server time us, violations, stored sequence, received ranges, late, open commands
--   dup     pieces of the ranges, violations, stored sequence, received ranges, open commands   (clientSequence)
--   again   first sequence, events, server time us, violations, stored sequence, open commands  (Idempotency-Key)
--   part    ranges not received yet, pieces of the others: nothing was written
--   ended   open commands
--   stale | absent | foreign | full | holes | crowd | reused: nothing was written;  rate ms: try again then
-- dup, again and part count in the rate, which is all that they write.
local function append(keys, args)
  local shard = redis.call('HMGET', keys[3], 'epoch', 'stored')
  if shard[1] ~= args[1] then return { 'stale' } end
  local client, who, ours = args[4], args[6] == '' and 's' or 'c', args[11] == '0'
  local s = redis.call('HMGET', keys[1], 'e', 'st', 'own', 'org', 'seq', 'last', 'ta' .. who, 'vio', 'k' .. who, 'end', 'lc', 'mc',
    'mq', 'sq', 'c:' .. client, 'r:' .. client, 'nc', 't' .. who, 'z' .. who, 'ex', 'cmd')
  if s[1] ~= args[1] or not s[20] then return { 'absent' } end
  if args[6] ~= '' and s[3] ~= args[6] or s[4] ~= args[7] then return { 'foreign' } end
  if args[19] ~= '' and s[20] ~= args[19] then return { 'foreign' } end

  local stored, open = tonumber(shard[2]), s[21] or ''
  local seq, violations = tonumber(s[5]), tonumber(s[8])
  local stored_seq, mark = tonumber(s[14]), tonumber(s[12])
  if mark and mark <= stored then
    stored_seq, mark = tonumber(s[13]), nil
  end
  if not s[11] or tonumber(s[11]) <= stored then stored_seq = seq end

  local now = now_us()
  local event_us, burst = tonumber(args[11]), tonumber(args[12])
  local claimed, received, recent
  if args[15] ~= '' then
    local before = redis.call('HGET', keys[4], args[23]) or redis.call('HGET', keys[5], args[23])
    if before then
      local digest, at, first, events = struct.unpack('<c16dI4I4', before)
      if math.abs(at) > now - tonumber(args[15]) * 1000000 then
        if digest ~= args[16] then return { 'reused' } end
        local arrival, wait = arrival_after(s[7], now, event_us, burst)
        if wait > 0 then return { 'rate', wait } end
        redis.call('HSET', keys[1], 'ta' .. who, text(arrival))
        return { 'again', first, events, text(at), violations, stored_seq, open }
      end
    end
  end
  if client ~= '' then
    claimed, received, recent = parse(args[5]), parse(s[15]), s[16] or ''
    local lacking = missing(received, claimed)
    local whole = format(lacking)
    if whole ~= args[5] then
      local known = missing(lacking, claimed)
      local cost = math.ceil(count(known) / DUPLICATES_PER_EVENT) * event_us
      local arrival, wait = arrival_after(s[7], now, cost, burst)
      if wait > 0 then return { 'rate', wait } end
      redis.call('HSET', keys[1], 'ta' .. who, text(arrival))
      if #lacking == 0 then return { 'dup', located(recent, known), violations, stored_seq, s[15], open } end
      return { 'part', whole, located(recent, known) }
    end
  end

  local late = 0
  local clock = not ours and parse_clock(s[9]) or nil
  if s[2] ~= '1' then
    local ended = tonumber(s[10])
    if s[2] ~= '2' or args[10] == '' or now > ended + tonumber(args[13])
      or tonumber(args[10]) + (clock and clock[1] or 0) > ended + LATE_TOLERANCE_US then
      return { 'ended', open }
    end
    late = 1
  end

  local events, settled = tonumber(args[3]), parse(args[21])
  local arrival, wait = arrival_after(s[7], now, (events + count(settled)) * event_us, burst)
  if wait > 0 then return { 'rate', wait } end
  if seq + events > SEQUENCE_MAX then return { 'full' } end

  local previous = tonumber(s[6])
  local at = math.max(now, previous)
  local contact, fields, entry, reach, returned = previous, {}, {}, 0, 0
  if not ours then
    contact = tonumber(s[18]) or previous
    fields = { 't' .. who, text(at) }
    if s[19] or at - contact > CONTACT_LOST_US then
      local known, is_new = silences(s[19], at, contact, tonumber(args[13]))
      if is_new then
        fields[3] = 'z' .. who
        fields[4] = format(known)
      end
      local fillable = {}
      for _, silence in ipairs(known) do
        local age = at - silence[2]
        returned = silence[2]
        if age <= FILL_US then reach = math.max(reach, at - silence[1]) end
        if age <= FILL_US or args[20] == '1' and age <= tonumber(args[13]) then
          fillable[#fillable + 1] = struct.pack('<i8i8', silence[1], silence[2])
        end
      end
      if #fillable > 0 then entry = { 'g', table.concat(fillable) } end
    end
    if who == 's' then
      entry[#entry + 1] = 's'
      entry[#entry + 1] = ''
    end
  end
  if client ~= '' then
    local clients = tonumber(s[17]) or 0
    if not s[15] then clients = clients + 1 end
    if clients > tonumber(args[18]) then return { 'crowd' } end
    received = union(received, claimed)
    if #received > tonumber(args[14]) then return { 'holes' } end
    received = format(received)
    for _, each in ipairs({ 'c:' .. client, received, 'nc', text(clients) }) do fields[#fields + 1] = each end
  end
  if args[9] ~= '' and late == 0 and not ours then
    local stepped
    clock, stepped = follow(clock, now - tonumber(args[9]), at, reach, returned)
    fields[#fields + 1] = 'k' .. who
    fields[#fields + 1] = format_clock(clock)
    if who == 'c' then
      entry[#entry + 1] = 'k'
      entry[#entry + 1] = struct.pack('<i8i8', clock[2] and clock[4] or clock[1], stepped or UNKNOWN)
    end
  end

  local signed = late == 0 and at or -at
  local answered = args[15] ~= '' and struct.pack('<c16dI4I4', args[16], signed, seq + 1, events)
  assert(client == '' or #args[22] == 8, 'a piece holds eight bytes of the digest')
  local id = redis.call('XADD', keys[2], args[1] .. '-*',
    'e', header(tonumber(args[2]), seq + 1, events, at, contact, clock and clock[1] or UNKNOWN, late), 'b', args[17],
    unpack(entry))
  local counter = string.match(id, '-(%d+)$')
  if not mark then
    fields[#fields + 1] = 'mc'
    fields[#fields + 1] = counter
    fields[#fields + 1] = 'mq'
    fields[#fields + 1] = text(seq + events)
  end
  if client ~= '' then
    local pieces, first = { recent }, seq + 1
    for _, range in ipairs(#settled == 0 and claimed or missing(settled, claimed)) do
      pieces[#pieces + 1] = struct.pack('<dddddc8', range[1], range[2], first, signed, tonumber(counter), args[22])
      first = first + range[2] - range[1] + 1
    end
    for _, range in ipairs(settled) do
      pieces[#pieces + 1] = struct.pack('<dddddc8', range[1], range[2], 0, signed, tonumber(counter), args[22])
    end
    fields[#fields + 1] = 'r:' .. client
    fields[#fields + 1] = string.sub(table.concat(pieces), -RECENT)
  end
  violations = violations + tonumber(args[8])
  redis.call('HSET', keys[1], 'seq', text(seq + events), 'last', text(at), 'ta' .. who, text(arrival), 'vio', text(violations),
    'lc', counter, 'sq', text(stored_seq), unpack(fields))
  if args[15] ~= '' then
    local newest, other, most = keys[4], keys[5], tonumber(args[24])
    if redis.call('HLEN', newest) >= most then newest, other = other, newest end
    redis.call('HSET', newest, args[23], answered)
    redis.call('EXPIRE', newest, args[15])
    if redis.call('HLEN', newest) >= most then redis.call('UNLINK', other) end
  end
  return { 'ok', seq + 1, text(at), violations, stored_seq, received or '', late, open }
end

-- Build a session's hash from PostgreSQL's rows, where it is absent only: an ended session never comes back to life.
-- KEYS  session, shard
-- ARGV  1 epoch  2 status  3 candidate  4 organisation  5 last sequence  6 last server time us  7 violations
--       8 clock offset us ('' for none)  9 end us ('' for none)  10 1 when its end entry was stored
--       11 seconds until the hash of an ended session may go  12 last heartbeat, or the start us  13 exam
--       14 open commands ('' for none)  15… client, ranges, …
local function restore(keys, args)
  if redis.call('HGET', keys[2], 'epoch') ~= args[1] then return { 'stale' } end
  if redis.call('HGET', keys[1], 'e') == args[1] then
    redis.call('HSETNX', keys[1], 'ex', args[13]) -- an older tier does not know it
    return { 'ok' }
  end
  redis.call('DEL', keys[1])
  local fields = { 'e', args[1], 'st', args[2], 'own', args[3], 'org', args[4], 'seq', args[5], 'last', args[6],
    'vio', args[7], 'sq', args[5], 'nc', text((#args - 14) / 2),
    'ex', args[13], 'tc', args[12], 'ts', args[12] }
  if args[8] ~= '' then fields[#fields + 1] = 'kc'; fields[#fields + 1] = args[8] .. ' - - -' end
  if args[9] ~= '' then fields[#fields + 1] = 'end'; fields[#fields + 1] = args[9] end
  if args[10] == '1' then fields[#fields + 1] = 'fin'; fields[#fields + 1] = '1' end
  if args[14] ~= '' then fields[#fields + 1] = 'cmd'; fields[#fields + 1] = args[14] end
  for i = 15, #args, 2 do
    fields[#fields + 1] = 'c:' .. args[i]
    fields[#fields + 1] = args[i + 1]
  end
  redis.call('HSET', keys[1], unpack(fields))
  if args[2] ~= '1' then redis.call('EXPIRE', keys[1], args[11]) end
  return { 'ok' }
end

-- Say in the stream that a session has ended: what was accepted before stands before it.
-- KEYS  session, stream, shard     ARGV  1 epoch  2 session  3 status  4 end us  5 seconds until the hash may go
-- Reply {word, final sequence}: ok | done (it was said before) | stale | absent
local function finish(keys, args)
  if redis.call('HGET', keys[3], 'epoch') ~= args[1] then return { 'stale' } end
  local s = redis.call('HMGET', keys[1], 'e', 'seq', 'last', 'fin')
  if s[1] ~= args[1] then return { 'absent' } end
  if s[4] then return { 'done', tonumber(s[2]) } end
  local last = tonumber(s[3])
  redis.call('XADD', keys[2], args[1] .. '-*', 'x',
    header(tonumber(args[2]), tonumber(s[2]), 0, math.max(now_us(), last), last, UNKNOWN, 0))
  redis.call('HSET', keys[1], 'st', args[3], 'end', args[4], 'fin', '1')
  redis.call('EXPIRE', keys[1], args[5])
  return { 'ok', tonumber(s[2]) }
end

-- Staff have told a session's client something, or it has confirmed: what is open now goes with its replies.
-- KEYS  session, shard     ARGV  1 epoch  2 open commands ('' for none)     Reply {word}: ok | stale | absent
local function tell(keys, args)
  if redis.call('HGET', keys[2], 'epoch') ~= args[1] then return { 'stale' } end
  if redis.call('HGET', keys[1], 'e') ~= args[1] then return { 'absent' } end
  redis.call('HSET', keys[1], 'cmd', args[2])
  return { 'ok' }
end

-- Open an epoch. Every session's hash of an earlier epoch counts as absent from now on.
-- KEYS  stream, shard     ARGV  1 epoch.   The XADD is refused when the stream has seen a later epoch.
local function open(keys, args)
  if redis.call('HGET', keys[2], 'epoch') == args[1] then return { 'ok' } end
  redis.call('XADD', keys[1], args[1] .. '-0', 'o', '')
  redis.call('HSET', keys[2], 'epoch', args[1], 'stored', '0')
  return { 'ok' }
end

-- PostgreSQL has committed everything up to the counter: remember it, and let the entries go.
-- KEYS  stream, shard     ARGV  1 epoch  2 counter
local function stored(keys, args)
  local shard = redis.call('HMGET', keys[2], 'epoch', 'stored')
  if shard[1] ~= args[1] or tonumber(args[2]) < tonumber(shard[2]) then return { 'stale' } end
  redis.call('HSET', keys[2], 'stored', args[2])
  redis.call('XTRIM', keys[1], 'MINID', '=', args[1] .. '-' .. text(tonumber(args[2]) + 1))
  return { 'ok' }
end

-- A tier takes events for the shard now. Where nobody has said so for long, that time is an outage of ours: it is queued in the
-- same step, once. A step of the clock forwards looks the same, and rightly so. Refused without memory, as an append is.
-- KEYS  shard     ARGV  1 epoch  2 us from which on it is an outage  3 us within which one word is enough  4 outages that wait
-- Reply {word}: ok | outage | stale | full (too many wait: what is not said now is an outage later)
local function take(keys, args)
  local shard = redis.call('HMGET', keys[1], 'epoch', 'taken', 'outages')
  if shard[1] ~= args[1] then return { 'stale' } end
  local now, taken = now_us(), tonumber(shard[2] or '0')
  if now >= taken and now - taken < tonumber(args[3]) then return { 'ok' } end
  if now - taken <= tonumber(args[2]) then
    redis.call('HSET', keys[1], 'taken', text(now))
    return { 'ok' }
  end
  local waiting = parse(shard[3])
  if #waiting >= tonumber(args[4]) then return { 'full' } end
  waiting[#waiting + 1] = { taken, now }
  redis.call('HSET', keys[1], 'taken', text(now), 'outages', format(waiting))
  return { 'outage' }
end

-- PostgreSQL has the first outages that wait: they go.
-- KEYS  shard     ARGV  1 the outages, as they stood
local function told(keys, args)
  local waiting = redis.call('HGET', keys[1], 'outages') or ''
  if args[1] ~= '' and string.sub(waiting, 1, #args[1]) == args[1] then
    redis.call('HSET', keys[1], 'outages', string.sub(waiting, #args[1] + 2))
  end
  return { 'ok' }
end

redis.register_function('veritas_append_@VERSION@', append)
redis.register_function('veritas_take_@VERSION@', take)
redis.register_function('veritas_restore_@VERSION@', restore)
redis.register_function('veritas_finish_@VERSION@', finish)
redis.register_function('veritas_tell_@VERSION@', tell)
-- What lets memory go must work when there is none left.
redis.register_function { function_name = 'veritas_open_@VERSION@', callback = open, flags = { 'allow-oom' } }
redis.register_function { function_name = 'veritas_stored_@VERSION@', callback = stored, flags = { 'allow-oom' } }
redis.register_function { function_name = 'veritas_told_@VERSION@', callback = told, flags = { 'allow-oom' } }
