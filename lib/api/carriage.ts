import type { Service, ServicePort } from './objects.ts';
import { dnsLabel } from './names.ts';

/** Who chooses the backends of a Service: a policy that its proxies know by this name. */
export const policyAnnotation = 'troupe.dev/proxy-policy';
/** What that policy is told: `name=value` pairs, separated by commas. */
export const policyOptionsAnnotation = 'troupe.dev/proxy-policy-options';
/** Backends are told who connects, by the PROXY protocol in front of the first byte: `v1` (text) or `v2` (binary). */
export const proxyProtocolAnnotation = 'troupe.dev/proxy-protocol';

/** New connections wait for a ready endpoint where there is none, each at most so many seconds, from 1 to `longestHoldSeconds`. */
export const holdAnnotation = 'troupe.dev/hold-seconds';
export const longestHoldSeconds = 300;

/** How a service port wants to be carried where that is more than one backend for each connection. */
export interface Carriage {
  /** Each HTTP request goes to a backend of its own. */
  readonly byRequest: boolean;
  readonly policy: string | undefined;
  /** As written in the annotation. */
  readonly policyOptions: string;
  readonly proxyProtocol: 'v1' | 'v2' | undefined;
  /** Without endpoints a connection waits for one so long; absent: it is refused at once. */
  readonly holdSeconds?: number;
}

/** Values of `appProtocol` whose connections carry requests that can be told apart. */
const requestProtocols = new Set(['http', 'h2c', 'grpc', 'kubernetes.io/h2c', 'kubernetes.io/ws']);

/** What the Service says about one of its ports; undefined when it says nothing. Values that break the rules count as absent. */
export function carriageOf({ metadata }: Service, port: ServicePort): Carriage | undefined {
  if (port.protocol !== 'TCP') return undefined;
  const annotations = metadata.annotations ?? {};
  const byRequest = port.appProtocol !== undefined && requestProtocols.has(port.appProtocol);
  const named = annotations[policyAnnotation];
  const policy = named !== undefined && dnsLabel(named) === undefined ? named : undefined;
  const protocol = annotations[proxyProtocolAnnotation];
  const proxyProtocol = protocol === 'v1' || protocol === 'v2' ? protocol : undefined;
  const hold = annotations[holdAnnotation];
  const holds = hold !== undefined && holdFault(hold) === undefined;
  if (!byRequest && policy === undefined && proxyProtocol === undefined && !holds) return undefined;
  const policyOptions = annotations[policyOptionsAnnotation] ?? '';
  return { ...{ byRequest, policy, policyOptions, proxyProtocol }, ...(holds && { holdSeconds: Number(hold) }) };
}

export const equalCarriages = (a: Carriage | undefined, b: Carriage | undefined): boolean =>
  a === b ||
  (a !== undefined &&
    b !== undefined &&
    a.byRequest === b.byRequest &&
    a.policy === b.policy &&
    a.policyOptions === b.policyOptions &&
    a.proxyProtocol === b.proxyProtocol &&
    a.holdSeconds === b.holdSeconds);

const holdFault = (text: string): string | undefined =>
  /^[1-9][0-9]{0,2}$/.test(text) && Number(text) <= longestHoldSeconds
    ? undefined
    : `must be whole seconds from 1 to ${longestHoldSeconds}`;

/** The pairs of a `troupe.dev/proxy-policy-options`; the later of two with one name counts. Throws with a sentence when a pair has no `=`. */
export function parsePolicyOptions(text: string): Readonly<Record<string, string>> {
  const options: Record<string, string> = {};
  for (const pair of text.split(',').map((each) => each.trim())) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals < 1) throw new Error(`must be name=value pairs separated by commas; "${pair}" is none`);
    options[pair.slice(0, equals).trim()] = pair.slice(equals + 1).trim();
  }
  return options;
}

/** Why the annotations of a Service about its carriage cannot be kept: a sentence for each that breaks its rule. */
export function carriageFaults(
  annotations: Readonly<Record<string, unknown>>,
): { readonly annotation: string; readonly value: unknown; readonly why: string }[] {
  const faults: { annotation: string; value: unknown; why: string }[] = [];
  const check = (annotation: string, rule: (value: string) => string | undefined): void => {
    const value = annotations[annotation];
    const why = typeof value === 'string' ? rule(value) : undefined;
    if (why !== undefined) faults.push({ annotation, value, why });
  };
  check(policyAnnotation, dnsLabel);
  check(proxyProtocolAnnotation, (value) => (value === 'v1' || value === 'v2' ? undefined : "must be 'v1' or 'v2'"));
  check(holdAnnotation, holdFault);
  check(policyOptionsAnnotation, (value) => {
    try {
      parsePolicyOptions(value);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  });
  return faults;
}
