import { Client, credentials, Metadata, status as codes, type ServiceError } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../../lib/api/codec/message.ts';
import type { Outcome } from './outcome.ts';

const method = '/grpc.health.v1.Health/Check';
/** Numbers of grpc.health.v1.HealthCheckResponse.ServingStatus. */
const servingStatuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;

/** Where from and how long: a channel of its own for each check, so that nothing of an earlier one can answer. */
const channelOptions = {
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_retries': 0,
  'grpc.primary_user_agent': 'kube-probe/1.32',
} as const;

/**
 * Asks the gRPC health service (grpc.health.v1) over plain HTTP/2 whether `service` serves; empty is the server as a whole.
 * Never rejects: whatever is not a clear yes is a no that says why.
 */
export async function checkGrpc(address: string, service: string, timeoutMs: number): Promise<Outcome> {
  const client = new Client(address, credentials.createInsecure(), channelOptions);
  try {
    const { status } = await ask(client, service, timeoutMs);
    const word = servingStatuses[status] ?? String(status);
    return word === 'SERVING'
      ? { ok: true, message: word }
      : { ok: false, message: `gRPC service ${named(service)} answers ${word}` };
  } catch (error) {
    return { ok: false, message: why(error as ServiceError, { address, service, timeoutMs }) };
  } finally {
    client.close();
  }
}

function ask(client: Client, service: string, timeoutMs: number): Promise<{ readonly status: number }> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method,
      (name: string) => Buffer.from(encodeMessage('grpc.health.v1.HealthCheckRequest', { service: name })),
      (bytes: Buffer) => decodeMessage('grpc.health.v1.HealthCheckResponse', bytes),
      service,
      new Metadata(),
      { deadline: Date.now() + timeoutMs },
      (error, reply) => {
        if (error !== null) reject(error);
        else resolve(reply ?? { status: 0 });
      },
    );
  });
}

function why(
  error: ServiceError,
  { address, service, timeoutMs }: { address: string; service: string; timeoutMs: number },
): string {
  const words: Partial<Record<codes, string>> = {
    [codes.DEADLINE_EXCEEDED]: `no answer from the gRPC health service at ${address} within ${timeoutMs / 1000} s`,
    [codes.UNAVAILABLE]: `no gRPC server at ${address}: ${error.details}`,
    [codes.UNIMPLEMENTED]: `the server at ${address} does not have the gRPC health service (grpc.health.v1.Health)`,
    [codes.NOT_FOUND]: `the gRPC health service at ${address} does not know the service ${named(service)}`,
  };
  const other = `gRPC health check at ${address} failed: ${codes[error.code] ?? String(error.code)}: ${error.details}`;
  return words[error.code] ?? other;
}

const named = (service: string): string => (service === '' ? '"" (the whole server)' : `"${service}"`);
