import { bytesReply, jsonReply, type RestReply, type RestRequest } from '../message.ts';
import { serverVersion } from '../version.ts';

const title = 'Troupe';
const protobuf = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const version = serverVersion.gitVersion;
/** Both names of the form. The older one, which clients still ask for, is none by the rules of media types: what comes has the newer. */
const asked = /application\/com\.github\.proto-openapi\.spec\.v2[@.]v1\.0\+protobuf/;

/**
 * The older description (OpenAPI 2.0), without any schema: what there is to know is in version 3, and the server checks objects itself. kubectl
 * asks for this one before it sends a `kind: List`, such as its own `get -o yaml`, and leaves alone what it finds no schema for; without an answer it gives up.
 */
export function describeInVersionTwo(request: RestRequest): RestReply | undefined {
  if (request.path.replace(/\/$/, '') !== '/openapi/v2') return undefined;
  if (asked.test(request.header('accept') ?? '')) return { ...bytesReply(asProtobuf), type: protobuf };
  return jsonReply({ swagger: '2.0', info: { title, version }, paths: {} });
}

/** `swagger` (1), `info` (2) with `title` (1) and `version` (2), and `paths` (8) of gnostic's `openapi.v2.Document`. */
const asProtobuf = Buffer.concat([
  field(1, Buffer.from('2.0')),
  field(2, Buffer.concat([field(1, Buffer.from(title)), field(2, Buffer.from(version))])),
  field(8, Buffer.alloc(0)),
]);

/** Bytes of a short field, by its number. */
function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}
