/** Commands that change nothing and that a replica answers; all others go to the master, which is always right. */
const reads = new Set(
  `BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP ECHO EVAL_RO EVALSHA_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS GEORADIUS_RO
   GEORADIUSBYMEMBER_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HGET HGETALL HKEYS HLEN HMGET HRANDFIELD HSCAN HSTRLEN HVALS KEYS LCS
   LINDEX LLEN LPOS LRANGE MGET OBJECT PEXPIRETIME PFCOUNT PTTL RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER
   SMEMBERS SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TTL TYPE XLEN XPENDING XRANGE XREVRANGE ZCARD ZCOUNT
   ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX
   ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION`.split(/\s+/),
);

/** After these the server speaks without being asked, or answers otherwise than once for each command: the connection becomes the master's. */
const pinning = new Set(['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE', 'MONITOR', 'SYNC', 'PSYNC', 'REPLCONF']);
const pinningClient = new Set(['REPLY', 'TRACKING']);

/** What a connection is: each server that it reaches must hear of it. */
const session = new Set(['AUTH', 'HELLO', 'SELECT']);
const sessionClient = new Set(['SETNAME', 'SETINFO', 'NO-EVICT', 'NO-TOUCH']);

export type Kind = 'read' | 'write' | 'session' | 'pin' | 'multi' | 'watch' | 'done' | 'quit';

/**
 * What to do with a command: `read` a replica, `write` the master, `session` every server, `pin` the connection to the master for good.
 * `multi`, `watch`, `done` say where a transaction begins and ends, `quit` that the connection does.
 */
export function kindOf([name = '', second = '']: readonly string[]): Kind {
  if (reads.has(name)) return 'read';
  if (session.has(name)) return 'session';
  if (name === 'CLIENT') {
    const what = second.toUpperCase();
    return sessionClient.has(what) ? 'session' : pinningClient.has(what) ? 'pin' : 'write';
  }
  if (pinning.has(name)) return 'pin';
  if (name === 'MULTI') return 'multi';
  if (name === 'WATCH') return 'watch';
  if (name === 'EXEC' || name === 'DISCARD' || name === 'UNWATCH' || name === 'RESET') return 'done';
  return name === 'QUIT' ? 'quit' : 'write';
}
