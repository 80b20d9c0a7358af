import { status, type handleBidiStreamingCall, type Server } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../../../lib/api/codec/message.ts';
import { fileDescriptors } from '../../../lib/api/gen/descriptors.ts';
import type { Messages } from '../../../lib/api/gen/messages.ts';
import { services } from '../../../lib/api/gen/services.ts';
import { messageOf } from '../../../lib/base/errors.ts';
import { toStatus } from '../../../lib/client/codes.ts';

type Request = Messages['grpc.reflection.v1.ServerReflectionRequest'];
type Response = Messages['grpc.reflection.v1.ServerReflectionResponse'];
type Answer = Pick<Response, 'file_descriptor_response' | 'list_services_response' | 'error_response'>;

/** Both versions of the public reflection service; they differ in name only. */
export function addReflection(server: Server): void {
  for (const version of ['v1', 'v1alpha']) {
    const name = `grpc.reflection.${version}.ServerReflection`;
    server.addService(
      {
        ServerReflectionInfo: {
          path: `/${name}/ServerReflectionInfo`,
          requestStream: true,
          responseStream: true,
          requestSerialize: (bytes: Buffer) => bytes,
          requestDeserialize: (bytes: Buffer) => bytes,
          responseSerialize: (bytes: Buffer) => bytes,
          responseDeserialize: (bytes: Buffer) => bytes,
        },
      },
      { ServerReflectionInfo: converse },
    );
  }
}

const converse: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on('error', () => undefined);
  call.on('data', (bytes: Buffer) => {
    try {
      const request = decodeMessage('grpc.reflection.v1.ServerReflectionRequest', bytes);
      const response = { valid_host: request.host, original_request: request, ...answer(request) };
      call.write(encodeMessage('grpc.reflection.v1.ServerReflectionResponse', response));
    } catch (error) {
      call.emit('error', toStatus(error));
    }
  });
  call.on('end', () => {
    call.end();
  });
};

/** The answer to one question; what is not there is told by an error in the answer, and the conversation goes on. */
export function answer(request: Request): Answer {
  if (request.list_services !== undefined) {
    return { list_services_response: { service: Object.keys(services).map((name) => ({ name })) } };
  }
  if (request.file_by_filename !== undefined) {
    const name = request.file_by_filename;
    return Object.hasOwn(fileDescriptors, name) ? files(name) : failure(status.NOT_FOUND, `no file ${name}`);
  }
  if (request.file_containing_symbol !== undefined) {
    const file = fileOf(request.file_containing_symbol);
    return file === undefined
      ? failure(status.NOT_FOUND, `nothing is called ${request.file_containing_symbol}`)
      : files(file);
  }
  if (request.file_containing_extension !== undefined || request.all_extension_numbers_of_type !== undefined) {
    return failure(status.NOT_FOUND, 'there are no extensions');
  }
  return failure(status.INVALID_ARGUMENT, 'the request asks nothing');
}

/** The file that declares a service, message or enumeration, or what is inside of it, such as a method. */
function fileOf(symbol: string): string | undefined {
  for (let name = symbol.replace(/^\./, ''); name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
    for (const [file, { symbols }] of Object.entries(fileDescriptors)) if (symbols.includes(name)) return file;
  }
  return undefined;
}

/** A file and all that it imports, each once: a client can use them without asking again. */
function files(name: string): Answer {
  const found = new Set<string>();
  const add = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    fileDescriptors[file]?.dependencies.forEach(add);
  };
  add(name);
  const file_descriptor_proto = [...found].flatMap((file) => {
    const descriptor = fileDescriptors[file];
    return descriptor === undefined ? [] : [Buffer.from(descriptor.base64, 'base64')];
  });
  return { file_descriptor_response: { file_descriptor_proto } };
}

const failure = (error_code: number, error: string): Answer => ({
  error_response: { error_code, error_message: messageOf(error) },
});
