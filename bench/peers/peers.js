// One peer of Joblog, measured: node peers.js NAME SECONDS. Prints `figure NAME VALUE UNIT`. Environment: PGHOST, PGUSER,
// PGDATABASE for those on PostgreSQL; PEER_PORT for those with a port of their own.
'use strict';
const net = require('net');
const [, , name, secondsText] = process.argv;
const seconds = Number(secondsText), inFlight = 64, poolSize = 24; // the private PostgreSQL takes few connections
const payload = { file: '/srv/in/2026-01-31.csv', mode: 'full', n: 12345 };
const now = () => Number(process.hrtime.bigint()) / 1e9;
const figure = (what, n, unit) => console.log(`figure ${what} ${n.toFixed(n < 100 ? 3 : 0)} ${unit}`);

// Calls one() with 64 in flight for the time; how many a second.
async function rate(one) {
  const began = now();
  let n = 0;
  const lane = async () => { while (now() - began < seconds) { await one(); n++; } };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return n / (now() - began);
}

// Connections with one request under way each; done(buffer) says whether the answer is whole.
function connections(port, request, done) {
  const free = [];
  const make = () => new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket));
    socket.on('error', reject);
  });
  const one = async () => {
    const socket = free.pop() || await make();
    await new Promise((resolve, reject) => {
      let got = Buffer.alloc(0);
      const on = (data) => {
        got = Buffer.concat([got, data]);
        const state = done(got);
        if (state === undefined) return;
        socket.off('data', on);
        if (state) resolve(); else reject(new Error(got.toString('latin1').slice(0, 80)));
      };
      socket.on('data', on);
      socket.write(request());
    });
    free.push(socket);
  };
  return { one, end: () => free.forEach((s) => s.destroy()) };
}

// One job at a time on an idle system: from dispatch() to the start of its handler, which calls the function that onStart got.
async function starts(name, dispatch, onStart) {
  const samples = [];
  for (let i = 0; i < 20 + 100 * seconds; i++) {
    let began;
    const start = new Promise((resolve) => onStart(() => resolve(now() - began)));
    began = now();
    await dispatch();
    const took = await start;
    if (i >= 20) samples.push(took * 1000); // the first ones make connections and fill caches
    await new Promise((resolve) => setTimeout(resolve, 5)); // its end is written
  }
  samples.sort((a, b) => a - b);
  for (const [what, part] of [['p50', 0.5], ['p99', 0.99]]) figure(`${name}_${what}`, samples[Math.floor(samples.length * part)], 'ms');
}

async function gearmand() {
  const body = () => Buffer.concat([Buffer.from('bench\0'), Buffer.from(String(Math.random()) + '\0'), Buffer.from(JSON.stringify(payload))]);
  const pool = connections(Number(process.env.PEER_PORT), () => {
    const data = body(), head = Buffer.alloc(12);
    head.write('\0REQ', 0, 'latin1');
    head.writeUInt32BE(18, 4); // SUBMIT_JOB_BG
    head.writeUInt32BE(data.length, 8);
    return Buffer.concat([head, data]);
  }, (got) => (got.length < 12 || got.length < 12 + got.readUInt32BE(8) ? undefined : got.readUInt32BE(4) === 8));
  figure('gearmand_dispatch', await rate(pool.one), 'jobs/s');
  pool.end();
}

async function beanstalkd() {
  const text = JSON.stringify(payload);
  const pool = connections(Number(process.env.PEER_PORT), () => `put 0 0 60 ${text.length}\r\n${text}\r\n`,
    (got) => (got.includes('\r\n') ? got.toString().startsWith('INSERTED') : undefined));
  figure('beanstalkd_dispatch', await rate(pool.one), 'jobs/s');
  pool.end();
}

async function graphile() {
  const { Pool } = require('pg');
  const { makeWorkerUtils, run, Logger } = require('graphile-worker');
  const pgPool = new Pool({ max: poolSize });
  pgPool.on('error', () => {});
  pgPool.on('connect', (client) => client.on('error', () => {}));
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  let started;
  const one = await run({ pgPool, logger, concurrency: 1, noHandleSignals: true, taskList: { ping: async () => { started(); } } });
  await starts('graphile_start', () => utils.addJob('ping', payload), (f) => { started = f; });
  await one.stop();
  figure('graphile_dispatch', await rate(() => utils.addJob('bench', payload)), 'jobs/s');
  if (utils.addJobs) {
    const jobs = Array.from({ length: 1000 }, () => ({ identifier: 'bench', payload }));
    const began = now();
    let n = 0;
    while (now() - began < seconds) { await utils.addJobs(jobs); n += jobs.length; }
    figure('graphile_bulk', n / (now() - began), 'jobs/s');
  }
  for (const [what, localQueue] of [['graphile_life', undefined], ['graphile_local_life', { size: 500 }]]) {
    let n = 0;
    const began = now();
    const preset = { worker: { concurrentJobs: inFlight, ...(localQueue ? { localQueue, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {}) } };
    const runner = await run({ pgPool, logger, concurrency: inFlight, noHandleSignals: true, preset, taskList: { bench: async () => { n++; } } });
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    figure(what, n / (now() - began), 'jobs/s');
    await runner.stop();
  }
  await pgPool.end();
}

async function pgboss() {
  const PgBoss = require('pg-boss');
  const boss = new PgBoss({ host: process.env.PGHOST, user: process.env.PGUSER, database: process.env.PGDATABASE, max: poolSize, schedule: false });
  boss.on('error', () => {});
  await boss.start();
  await boss.createQueue('bench');
  figure('pgboss_dispatch', await rate(() => boss.send('bench', payload)), 'jobs/s');
  const began = now();
  let n = 0;
  while (now() - began < seconds) {
    const jobs = await boss.fetch('bench', { batchSize: 100 });
    if (!jobs || jobs.length === 0) break;
    await boss.complete('bench', jobs.map((j) => j.id));
    n += jobs.length;
  }
  figure('pgboss_life', n / (now() - began), 'jobs/s');
  await boss.stop({ graceful: false });
}

async function bullmq() {
  const { Queue, Worker } = require('bullmq');
  const connection = { host: '127.0.0.1', port: Number(process.env.PEER_PORT), maxRetriesPerRequest: null };
  const queue = new Queue('bench', { connection });
  figure('bullmq_dispatch', await rate(() => queue.add('bench', payload)), 'jobs/s');
  let n = 0;
  const began = now();
  const worker = new Worker('bench', async () => { n++; }, { connection, concurrency: inFlight });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  figure('bullmq_life', n / (now() - began), 'jobs/s');
  await worker.close(true);
  await queue.close();
}

const peers = { gearmand, beanstalkd, graphile, pgboss, bullmq };
peers[name]().then(() => process.exit(0), (e) => { console.error(`peers: ${name}: ${e.message}`); process.exit(1); });
