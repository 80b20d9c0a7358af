// Written by `npm run gen` from proto/. Do not edit.
/** The messages that carry objects, errors and reflection, by their name in the schema. */
export interface Messages {
  TypeMeta: {
    readonly apiVersion?: string;
    readonly kind?: string;
  };
  Unknown: {
    readonly typeMeta?: Messages['TypeMeta'];
    readonly raw?: Uint8Array;
    readonly contentEncoding?: string;
    readonly contentType?: string;
  };
  GetRequest: {
    readonly resource: string;
    readonly namespace: string;
    readonly name: string;
    readonly subresource: string;
  };
  ObjectReply: {
    readonly json: Uint8Array;
    readonly revision: string;
  };
  GetManyRequest: {
    readonly objects: readonly Messages['GetRequest'][];
  };
  GetManyReply: {
    readonly results: readonly Messages['WriteResult'][];
  };
  Selection: {
    readonly namespace: string;
    readonly label_selector: string;
    readonly field_selector: string;
  };
  ListRequest: {
    readonly resource: string;
    readonly selection?: Messages['Selection'];
    readonly limit: number;
    readonly continue: string;
    readonly at_revision: string;
  };
  ListChunk: {
    readonly items: readonly Uint8Array[];
    readonly revision: string;
    readonly continue: string;
  };
  WatchRequest: {
    readonly resource: string;
    readonly selection?: Messages['Selection'];
    readonly from_revision: string;
  };
  WatchReply: {
    readonly changes: readonly Messages['WatchChange'][];
    readonly revision: string;
  };
  WatchChange: {
    readonly type: string;
    readonly revision: string;
    readonly json: Uint8Array;
  };
  PositionRequest: {
    readonly resource: string;
    readonly node: string;
  };
  PositionReply: {
    readonly revision: string;
  };
  WriteRequest: {
    readonly operations: readonly Messages['WriteOperation'][];
    readonly dry_run: boolean;
    readonly field_validation: string;
  };
  WriteOperation: {
    readonly verb: string;
    readonly resource: string;
    readonly namespace: string;
    readonly name: string;
    readonly subresource: string;
    readonly json: Uint8Array;
    readonly traceparent: string;
  };
  WriteReply: {
    readonly results: readonly Messages['WriteResult'][];
  };
  WriteResult: {
    readonly reason: string;
    readonly message: string;
    readonly json: Uint8Array;
    readonly revision: string;
    readonly warnings: readonly string[];
  };
  DeleteCollectionRequest: {
    readonly resource: string;
    readonly selection?: Messages['Selection'];
    readonly options: Uint8Array;
    readonly dry_run: boolean;
  };
  DeleteCollectionReply: {
    readonly deleted: number;
  };
  PodTarget: {
    readonly namespace: string;
    readonly pod: string;
    readonly container: string;
  };
  LogsRequest: {
    readonly target?: Messages['PodTarget'];
    readonly follow: boolean;
    readonly previous: boolean;
    readonly tail_lines?: number;
    readonly since_seconds?: number;
    readonly since_time: string;
    readonly timestamps: boolean;
    readonly limit_bytes?: number;
    readonly after: string;
  };
  LogsReply: {
    readonly data: Uint8Array;
    readonly position: string;
  };
  ExecRequest: {
    readonly start?: Messages['ExecStart'];
    readonly stdin?: Uint8Array;
    readonly resize?: Messages['TerminalSize'];
  };
  ExecStart: {
    readonly target?: Messages['PodTarget'];
    readonly command: readonly string[];
    readonly stdin: boolean;
    readonly tty: boolean;
  };
  ExecReply: {
    readonly stdout?: Uint8Array;
    readonly stderr?: Uint8Array;
    readonly exit?: Messages['Exit'];
  };
  Exit: {
    readonly code: number;
  };
  TerminalSize: {
    readonly columns: number;
    readonly rows: number;
  };
  AttachRequest: {
    readonly start?: Messages['AttachStart'];
    readonly stdin?: Uint8Array;
    readonly resize?: Messages['TerminalSize'];
  };
  AttachStart: {
    readonly target?: Messages['PodTarget'];
    readonly stdin: boolean;
  };
  PortForwardRequest: {
    readonly start?: Messages['PortForwardStart'];
    readonly data?: Uint8Array;
  };
  PortForwardStart: {
    readonly target?: Messages['PodTarget'];
    readonly port: number;
  };
  PortForwardReply: {
    readonly data: Uint8Array;
  };
  ReadFilesRequest: {
    readonly target?: Messages['PodTarget'];
    readonly path: string;
  };
  ReadFilesReply: {
    readonly about?: Messages['FileAbout'];
    readonly tar?: Uint8Array;
  };
  FileAbout: {
    readonly name: string;
    readonly size_bytes: number;
    readonly is_folder: boolean;
  };
  WriteFilesRequest: {
    readonly start?: Messages['WriteFilesStart'];
    readonly tar?: Uint8Array;
  };
  WriteFilesStart: {
    readonly target?: Messages['PodTarget'];
    readonly path: string;
  };
  WriteFilesReply: {

  };
  'google.protobuf.Any': {
    readonly type_url: string;
    readonly value: Uint8Array;
  };
  'google.protobuf.Duration': {
    readonly seconds: number;
    readonly nanos: number;
  };
  'google.rpc.Status': {
    readonly code: number;
    readonly message: string;
    readonly details: readonly Messages['google.protobuf.Any'][];
  };
  'google.rpc.ErrorInfo': {
    readonly reason: string;
    readonly domain: string;
    readonly metadata: Readonly<Record<string, string>>;
  };
  'google.rpc.RetryInfo': {
    readonly retry_delay?: Messages['google.protobuf.Duration'];
  };
  'google.rpc.BadRequest': {
    readonly field_violations: readonly Messages['google.rpc.BadRequest.FieldViolation'][];
  };
  'google.rpc.BadRequest.FieldViolation': {
    readonly field: string;
    readonly description: string;
    readonly reason: string;
  };
  'grpc.health.v1.HealthCheckRequest': {
    readonly service: string;
  };
  'grpc.health.v1.HealthCheckResponse': {
    readonly status: number;
  };
  'grpc.reflection.v1.ServerReflectionRequest': {
    readonly host: string;
    readonly file_by_filename?: string;
    readonly file_containing_symbol?: string;
    readonly file_containing_extension?: Messages['grpc.reflection.v1.ExtensionRequest'];
    readonly all_extension_numbers_of_type?: string;
    readonly list_services?: string;
  };
  'grpc.reflection.v1.ExtensionRequest': {
    readonly containing_type: string;
    readonly extension_number: number;
  };
  'grpc.reflection.v1.ServerReflectionResponse': {
    readonly valid_host: string;
    readonly original_request?: Messages['grpc.reflection.v1.ServerReflectionRequest'];
    readonly file_descriptor_response?: Messages['grpc.reflection.v1.FileDescriptorResponse'];
    readonly all_extension_numbers_response?: Messages['grpc.reflection.v1.ExtensionNumberResponse'];
    readonly list_services_response?: Messages['grpc.reflection.v1.ListServiceResponse'];
    readonly error_response?: Messages['grpc.reflection.v1.ErrorResponse'];
  };
  'grpc.reflection.v1.FileDescriptorResponse': {
    readonly file_descriptor_proto: readonly Uint8Array[];
  };
  'grpc.reflection.v1.ExtensionNumberResponse': {
    readonly base_type_name: string;
    readonly extension_number: readonly number[];
  };
  'grpc.reflection.v1.ListServiceResponse': {
    readonly service: readonly Messages['grpc.reflection.v1.ServiceResponse'][];
  };
  'grpc.reflection.v1.ServiceResponse': {
    readonly name: string;
  };
  'grpc.reflection.v1.ErrorResponse': {
    readonly error_code: number;
    readonly error_message: string;
  };
  'grpc.reflection.v1alpha.ServerReflectionRequest': {
    readonly host: string;
    readonly file_by_filename?: string;
    readonly file_containing_symbol?: string;
    readonly file_containing_extension?: Messages['grpc.reflection.v1alpha.ExtensionRequest'];
    readonly all_extension_numbers_of_type?: string;
    readonly list_services?: string;
  };
  'grpc.reflection.v1alpha.ExtensionRequest': {
    readonly containing_type: string;
    readonly extension_number: number;
  };
  'grpc.reflection.v1alpha.ServerReflectionResponse': {
    readonly valid_host: string;
    readonly original_request?: Messages['grpc.reflection.v1alpha.ServerReflectionRequest'];
    readonly file_descriptor_response?: Messages['grpc.reflection.v1alpha.FileDescriptorResponse'];
    readonly all_extension_numbers_response?: Messages['grpc.reflection.v1alpha.ExtensionNumberResponse'];
    readonly list_services_response?: Messages['grpc.reflection.v1alpha.ListServiceResponse'];
    readonly error_response?: Messages['grpc.reflection.v1alpha.ErrorResponse'];
  };
  'grpc.reflection.v1alpha.FileDescriptorResponse': {
    readonly file_descriptor_proto: readonly Uint8Array[];
  };
  'grpc.reflection.v1alpha.ExtensionNumberResponse': {
    readonly base_type_name: string;
    readonly extension_number: readonly number[];
  };
  'grpc.reflection.v1alpha.ListServiceResponse': {
    readonly service: readonly Messages['grpc.reflection.v1alpha.ServiceResponse'][];
  };
  'grpc.reflection.v1alpha.ServiceResponse': {
    readonly name: string;
  };
  'grpc.reflection.v1alpha.ErrorResponse': {
    readonly error_code: number;
    readonly error_message: string;
  };
}
