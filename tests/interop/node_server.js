// node_server.js TOOLS PROTOS [--use_tls=true] [--certs=DIR]: an interop server on Node's @grpc/grpc-js, which shares no
// code with gRPC core: HTTP/2 is Node's, the rest its own. On a free port of 127.0.0.1; prints "ready PORT"; SIGTERM
// ends it.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const [tools, protos, ...flags] = process.argv.slice(2);
const modules = path.join(tools, 'node_modules');
const grpc = require(path.join(modules, '@grpc/grpc-js'));
const loader = require(path.join(modules, '@grpc/proto-loader'));

const definition = loader.loadSync('grpc/testing/test.proto',
  { includeDirs: [protos], keepCase: true, longs: Number, enums: String, defaults: false, oneofs: true });
const { TestService } = grpc.loadPackageDefinition(definition).grpc.testing;

const flag = (name) => flags.find((f) => f.startsWith(`--${name}=`))?.slice(name.length + 3);
const payload = (size = 0) => ({ payload: { type: 'COMPRESSABLE', body: Buffer.alloc(size) } });

// Sends the metadata that comes back at once; gives that of the end.
function echoMetadata(call) {
  const [initial, trailing] = ['x-grpc-test-echo-initial', 'x-grpc-test-echo-trailing-bin'];
  const first = new grpc.Metadata();
  const last = new grpc.Metadata();
  for (const value of call.metadata.get(initial)) first.add(initial, value);
  for (const value of call.metadata.get(trailing)) last.add(trailing, value);
  call.sendMetadata(first);
  return last;
}

function echoedStatus(request) {
  const status = request.response_status;
  return status && status.code ? { code: status.code, details: status.message } : null;
}

function unaryCall(call, callback) {
  const last = echoMetadata(call);
  const status = echoedStatus(call.request);
  if (status) callback(status);
  else callback(null, payload(call.request.response_size), last);
}

function streamingInputCall(call, callback) {
  let sum = 0;
  call.on('data', (request) => { sum += request.payload?.body?.length ?? 0; });
  call.on('end', () => callback(null, { aggregated_payload_size: sum }));
}

async function answer(call, request) {
  for (const { size, interval_us: us } of request.response_parameters ?? []) {
    if (us) await new Promise((resolve) => setTimeout(resolve, us / 1000));
    call.write(payload(size));
  }
}

async function streamingOutputCall(call) {
  const last = echoMetadata(call);
  const status = echoedStatus(call.request);
  if (status) return call.emit('error', status);
  await answer(call, call.request);
  return call.end(last);
}

// half: answers once all requests have come.
function duplexCall(call, half) {
  const last = echoMetadata(call);
  const kept = [];
  let turn = Promise.resolve(); // answers go out in order, whatever they wait for
  call.on('data', (request) => {
    const status = echoedStatus(request);
    if (status) call.emit('error', status);
    else if (half) kept.push(request);
    else turn = turn.then(() => answer(call, request));
  });
  call.on('end', async () => {
    await turn;
    for (const request of kept) await answer(call, request);
    call.end(last);
  });
}

const server = new grpc.Server();
server.addService(TestService.service, {
  EmptyCall: (call, callback) => callback(null, {}),
  UnaryCall: unaryCall,
  StreamingInputCall: streamingInputCall,
  StreamingOutputCall: streamingOutputCall,
  FullDuplexCall: (call) => duplexCall(call, false),
  HalfDuplexCall: (call) => duplexCall(call, true),
});
let credentials = grpc.ServerCredentials.createInsecure();
if (flag('use_tls') === 'true') {
  const read = (name) => fs.readFileSync(path.join(flag('certs'), name));
  credentials = grpc.ServerCredentials.createSsl(null, [{ private_key: read('server1.key'), cert_chain: read('server1.pem') }]);
}
process.on('SIGTERM', () => {
  server.forceShutdown();
  process.exit(0);
});
server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
  if (error) throw error;
  console.log(`ready ${port}`);
});
