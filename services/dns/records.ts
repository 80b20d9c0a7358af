/** A record as the zone and the resolver speak of it. Names are lower case, without the dot at the end; `ttl` is in seconds. */
export type DnsRecord =
  | { readonly type: 'A'; readonly name: string; readonly ttl: number; readonly address: string }
  | { readonly type: 'AAAA'; readonly name: string; readonly ttl: number; readonly bytes: Buffer }
  | { readonly type: 'CNAME' | 'PTR' | 'NS'; readonly name: string; readonly ttl: number; readonly target: string }
  | {
      readonly type: 'SRV';
      readonly name: string;
      readonly ttl: number;
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: 'TXT'; readonly name: string; readonly ttl: number; readonly text: string }
  | SoaRecord;

export interface SoaRecord {
  readonly type: 'SOA';
  readonly name: string;
  readonly ttl: number;
  readonly mname: string;
  readonly rname: string;
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

export const typeNumbers = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  ANY: 255,
} as const;
export type TypeName = keyof typeof typeNumbers;
const names = new Map(Object.entries(typeNumbers).map(([name, number]) => [number as number, name as TypeName]));
/** The name of a type that is handled here; any other is `other`. */
export const typeName = (number: number): TypeName | 'other' => names.get(number) ?? 'other';

export const rcodes = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type Rcode = keyof typeof rcodes;
