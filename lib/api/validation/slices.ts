import { isAbsent, listAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel, dnsSubdomain } from '../names.ts';
import { parseIp } from '../net.ts';
import { ipRule, type Findings } from './findings.ts';
import { immutable } from './metadata.ts';

/** In one slice at most (Kubernetes v1). */
export const maxEndpoints = 1000;
const maxAddresses = 100;
const maxPorts = 20_000;

export function validateEndpointSlice(found: Findings, slice: Json): void {
  const type = textAt(slice, 'addressType');
  found.oneOf('addressType', slice['addressType'], ['IPv4', 'IPv6', 'FQDN']);
  const endpoints = objectsAt(slice, 'endpoints');
  if (endpoints.length > maxEndpoints) found.tooLong('endpoints', maxEndpoints, endpoints.length, 'endpoints');
  endpoints.slice(0, maxEndpoints).forEach((endpoint, index) => {
    const at = `endpoints[${index}]`;
    const addresses = listAt(endpoint, 'addresses');
    if (addresses.length === 0) found.required(`${at}.addresses`, 'must contain at least 1 address');
    if (addresses.length > maxAddresses) found.tooLong(`${at}.addresses`, maxAddresses, addresses.length, 'addresses');
    addresses.slice(0, maxAddresses).forEach((address, position) => {
      const text = typeof address === 'string' ? address : '';
      const field = `${at}.addresses[${position}]`;
      if (type === 'IPv4' && parseIp(text) === undefined) found.invalid(field, address, ipRule);
      if (type === 'FQDN') found.check(field, text, dnsSubdomain);
    });
    const hostname = textAt(endpoint, 'hostname');
    if (hostname !== '') found.check(`${at}.hostname`, hostname, dnsLabel);
    const node = textAt(endpoint, 'nodeName');
    if (node !== '') found.check(`${at}.nodeName`, node, dnsSubdomain);
  });
  validatePorts(found, objectsAt(slice, 'ports'));
}

function validatePorts(found: Findings, ports: readonly Json[]): void {
  if (ports.length > maxPorts) found.tooLong('ports', maxPorts, ports.length, 'ports');
  const seen = new Set<string>();
  ports.slice(0, maxPorts).forEach((port, index) => {
    const name = textAt(port, 'name');
    if (seen.has(name)) found.duplicate(`ports[${index}].name`, name);
    seen.add(name);
    if (name !== '') found.check(`ports[${index}].name`, name, dnsLabel);
    found.oneOf(`ports[${index}].protocol`, port['protocol'], ['TCP', 'UDP', 'SCTP']);
    if (!isAbsent(port['port'])) found.range(`ports[${index}].port`, port['port'], 0, 65_535);
  });
}

export function validateEndpointSliceUpdate(found: Findings, next: Json, previous: Json): void {
  immutable(found, 'addressType', next['addressType'], previous['addressType']);
}
