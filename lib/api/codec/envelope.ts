import { ApiError } from '../../base/errors.ts';
import type { Messages } from '../gen/messages.ts';
import { decodeMessage } from './message.ts';

/** An object in the binary form of the Kubernetes API: four bytes that say so, then the kind and the message of it. */
export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly raw: Buffer;
  /** How `raw` is written; empty: as the kind's message. */
  readonly contentType: string;
}

const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

export const isEnvelope = (bytes: Uint8Array): boolean => magic.equals(bytes.subarray(0, magic.length));

/** What an envelope holds. BadRequest when it says no kind, or is compressed. */
export function decodeEnvelope(bytes: Uint8Array): Envelope {
  const message = decodeMessage('Unknown', bytes.subarray(magic.length));
  const { raw = new Uint8Array(), contentEncoding = '', contentType = '' } = message;
  const { apiVersion = '', kind = '' } = message as Messages['TypeMeta']; // inlined, as JSON has it
  if (kind === '') throw new ApiError('BadRequest', 'the message does not say of which kind it is');
  if (contentEncoding !== '')
    throw new ApiError('BadRequest', `the message is encoded as ${JSON.stringify(contentEncoding)}; send it as it is`);
  return { apiVersion, kind, raw: Buffer.from(raw), contentType };
}
