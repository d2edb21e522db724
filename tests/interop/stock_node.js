// stock_node.js TOOLS PORT PID [CA]: Node's @grpc/grpc-js as anyone installs it, against interop_server. It knows no
// service beforehand but reflection and health: what to call, and with which messages, it learns from the server, as
// generic clients do. Ends the server (process PID) by SIGTERM and watches how its health tells of it.
'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');

const [modules, port, pid, ca] = process.argv.slice(2);
const grpc = require(path.join(modules, '@grpc/grpc-js'));
const loader = require(path.join(modules, '@grpc/proto-loader'));
const descriptor = require(path.join(modules, 'protobufjs/ext/descriptor'));

const shapes = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const target = `127.0.0.1:${port}`;
const credentials = ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure();
const options = ca ? { 'grpc.ssl_target_name_override': 'foo.test.google.fr' } : {};
const clients = [];

function open(Client, more) {
  clients.push(new Client(target, credentials, { ...options, ...more }));
  return clients.at(-1);
}

// A unary call as a promise of { response, header, trailer }; rejects with the error that has code, details, metadata.
function unary(client, method, request, { metadata = new grpc.Metadata(), ...callOptions } = {}) {
  return new Promise((resolve, reject) => {
    const seen = {};
    const call = client[method](request, metadata, callOptions, (error, response) => {
      if (error) reject(error);
      else setImmediate(() => resolve({ ...seen, response })); // the status comes right after
    });
    call.on('metadata', (m) => { seen.header = m; });
    call.on('status', (s) => { seen.trailer = s.metadata; });
  });
}

// All messages of a stream and its status, whatever that is.
function drain(call) {
  return new Promise((resolve) => {
    const messages = [];
    call.on('data', (m) => messages.push(m));
    call.on('error', () => {}); // the status says it too
    call.on('status', (status) => setImmediate(() => resolve({ messages, status })));
  });
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('the call did not fail');
}

// ---- reflection ----

function reflection(version) {
  const file = path.join(modules, `@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`);
  const packages = grpc.loadPackageDefinition(loader.loadSync(file, shapes));
  return open(packages.grpc.reflection[version].ServerReflection);
}

async function ask(client, question) {
  const call = client.ServerReflectionInfo();
  const all = drain(call);
  call.end(question);
  const { messages, status } = await all;
  assert.equal(status.code, grpc.status.OK);
  assert.equal(messages.length, 1);
  return messages[0];
}

async function listed(version) {
  const answer = await ask(reflection(version), { list_services: '' });
  return answer.list_services_response.service.map((s) => s.name).sort();
}

// What the server has of that service, ready to call.
async function learn(service) {
  const answer = await ask(reflection('v1'), { file_containing_symbol: service });
  const file = answer.file_descriptor_response.file_descriptor_proto.map((f) => descriptor.FileDescriptorProto.decode(f));
  const definition = loader.loadFileDescriptorSetFromBuffer(descriptor.FileDescriptorSet.encode({ file }).finish(), shapes);
  return service.split('.').reduce((scope, name) => scope[name], grpc.loadPackageDefinition(definition));
}

async function checkReflection() {
  const all = ['grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection', 'grpc.testing.TestService',
    'xds.service.orca.v3.OpenRcaService'];
  assert.deepEqual(await listed('v1'), all);
  assert.deepEqual(await listed('v1alpha'), all);
  const answer = await ask(reflection('v1'), { file_containing_symbol: 'no.such.Thing' });
  assert.equal(answer.error_response.error_code, grpc.status.NOT_FOUND);
}

// ---- load reports ----

// That of one call comes with its status; programs on gRPC core never see it, so only here it can be looked at.
async function checkLoadReport(test) {
  const file = path.join(modules, '@grpc/grpc-js/proto/xds/xds/data/orca/v3/orca_load_report.proto');
  const includeDirs = ['protoc-gen-validate', 'xds'].map((d) => path.join(modules, '@grpc/grpc-js/proto', d));
  const Report = loader.loadSync(file, { ...shapes, includeDirs })['xds.data.orca.v3.OrcaLoadReport'];
  const numbers = { cpu_utilization: 0.821, memory_utilization: 0.5847, request_cost: { cost: 3456.32 },
    utilization: { util: 0.30499 } };
  const entries = (map) => Object.entries(map).map(([key, value]) => ({ key, value })); // maps, as reflection has them
  const { trailer } = await unary(test, 'UnaryCall', { orca_per_query_report: { ...numbers,
    request_cost: entries(numbers.request_cost), utilization: entries(numbers.utilization) } });
  const [got] = trailer.get('endpoint-load-metrics-bin');
  const report = Report.deserialize(got);
  assert.equal(report.cpu_utilization, numbers.cpu_utilization);
  assert.equal(report.mem_utilization, numbers.memory_utilization);
  assert.deepEqual(report.request_cost, numbers.request_cost);
  assert.deepEqual(report.utilization, numbers.utilization);
}

// ---- every kind of call ----

const zeros = (n) => Buffer.alloc(n);

async function checkUnary(test) {
  assert.deepEqual((await unary(test, 'EmptyCall', {})).response, {});
  const metadata = new grpc.Metadata();
  metadata.set('x-grpc-test-echo-initial', 'there');
  metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from([0xab, 0, 0xab]));
  const { response, header, trailer } = await unary(test, 'UnaryCall',
    { response_size: 314159, payload: { body: zeros(271828) } }, { metadata });
  assert.ok(response.payload.body.equals(zeros(314159)));
  assert.deepEqual(header.get('x-grpc-test-echo-initial'), ['there']);
  assert.deepEqual(trailer.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0xab, 0, 0xab])]);
}

async function checkErrors(test) {
  let error = await failure(unary(test, 'UnaryCall', { response_status: { code: 9, message: 'näh\n☺' } }));
  assert.equal(error.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(error.details, 'näh\n☺');
  assert.ok(Buffer.isBuffer(error.metadata.get('grpc-status-details-bin')[0]));
  error = await failure(unary(test, 'UnimplementedCall', {}));
  assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  error = await failure(unary(test, 'UnaryCall', { response_size: -1 }));
  assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
  const late = test.StreamingOutputCall({ response_parameters: [{ size: 1, interval_us: 60e6 }] }, { deadline: Date.now() + 100 });
  assert.equal((await drain(late)).status.code, grpc.status.DEADLINE_EXCEEDED);
}

async function checkStreams(test) {
  const sizes = [31415, 9, 2653, 58979];
  const parameters = sizes.map((size) => ({ size }));
  const lengths = (messages) => messages.map((m) => m.payload.body.length);

  const down = await drain(test.StreamingOutputCall({ response_parameters: parameters }));
  assert.deepEqual(lengths(down.messages), sizes);
  assert.equal(down.status.code, grpc.status.OK);

  const sum = await new Promise((resolve, reject) => {
    const call = test.StreamingInputCall((error, response) => (error ? reject(error) : resolve(response)));
    for (const size of sizes) call.write({ payload: { body: zeros(size) } });
    call.end();
  });
  assert.equal(sum.aggregated_payload_size, sizes.reduce((a, b) => a + b));

  const chat = test.FullDuplexCall();
  const all = drain(chat);
  for (const p of parameters) {
    const answer = new Promise((resolve) => chat.once('data', resolve)); // each before the next request
    chat.write({ response_parameters: [p], payload: { body: zeros(27182) } });
    assert.equal((await answer).payload.body.length, p.size);
  }
  chat.end();
  assert.deepEqual(lengths((await all).messages), sizes);

  const half = test.HalfDuplexCall();
  const answers = drain(half);
  for (const p of parameters) half.write({ response_parameters: [p] });
  half.end();
  assert.deepEqual(lengths((await answers).messages), sizes);

  const dropped = test.FullDuplexCall();
  const dead = drain(dropped);
  dropped.once('data', () => dropped.cancel());
  dropped.write({ response_parameters: [{ size: 1 }] });
  assert.equal((await dead).status.code, grpc.status.CANCELLED);
}

// Messages compressed by the client, which the server checks, and by the server. A channel of grpc-js compresses in its
// first call only: it takes gRPC core's list "identity, deflate, gzip", with blanks, for one without gzip.
async function checkCompression(Test) {
  for (const algorithm of [grpc.compressionAlgorithms.gzip, grpc.compressionAlgorithms.deflate]) {
    const fresh = () => open(Test, { 'grpc.default_compression_algorithm': algorithm });
    const request = { response_size: 314159, payload: { body: zeros(271828) }, expect_compressed: { value: true },
      response_compressed: { value: true } };
    assert.ok((await unary(fresh(), 'UnaryCall', request)).response.payload.body.equals(zeros(314159)));
    request.expect_compressed.value = false;
    assert.equal((await failure(unary(fresh(), 'UnaryCall', request))).code, grpc.status.INVALID_ARGUMENT);
    const parameters = [31415, 92653].map((size) => ({ size, compressed: { value: size > 50000 } }));
    const { messages, status } = await drain(fresh().StreamingOutputCall({ response_parameters: parameters }));
    assert.equal(status.code, grpc.status.OK);
    assert.deepEqual(messages.map((m) => m.payload.body.length), [31415, 92653]);
  }
}

// ---- health ----

async function checkHealth(Health) {
  const health = open(Health);
  for (const service of ['', 'grpc.testing.TestService'])
    assert.equal((await unary(health, 'Check', { service })).response.status, 'SERVING');
  assert.equal((await failure(unary(health, 'Check', { service: 'no.such.Service' }))).code, grpc.status.NOT_FOUND);

  const watch = health.Watch({ service: '' });
  const all = drain(watch);
  watch.once('data', () => process.kill(Number(pid), 'SIGTERM'));
  const { messages, status } = await all;
  assert.deepEqual(messages.map((m) => m.status), ['SERVING', 'NOT_SERVING']);
  assert.equal(status.code, grpc.status.UNAVAILABLE);
}

async function main() {
  await checkReflection();
  const Test = await learn('grpc.testing.TestService');
  const test = open(Test);
  const Health = await learn('grpc.health.v1.Health');
  await checkUnary(test);
  await checkErrors(test);
  await checkStreams(test);
  await checkCompression(Test);
  await checkLoadReport(test);
  await checkHealth(Health); // the last, as it ends the server
  for (const client of clients) client.close();
  console.log('all passed');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
