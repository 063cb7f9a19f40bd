// The JavaScript reference's part of the benchmarks, as close to that of chinwag as it can be.
//
//   node reference.js PACKAGE launch NODES
//   node reference.js PACKAGE processes NODES MESSAGES
//   node reference.js PACKAGE rpc IN_FLIGHT,… MILLISECONDS TEXT
//
// It prints one line of JSON. The nodes that it starts end with it.
'use strict';

const child = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const [package_, part, ...rest] = process.argv.slice(2);
const program = path.join(package_, 'distribution.js');
const version = require(path.join(package_, 'package.json')).version;

// a port that is free at present
const freePort = () => new Promise((resolve, reject) => {
  const server = net.createServer();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const {port} = server.address();
    server.close(() => resolve(port));
  });
});

// the error-first callback of a call, as a promise of [error, value]
const outcome = (call) => new Promise((resolve) => call((error, value) => resolve([error, value])));

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// the children of this process
const children = () => fs.readdirSync('/proc').filter((id) => /^\d+$/.test(id)).filter((id) => {
  try {
    const stat = fs.readFileSync(`/proc/${id}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(process.pid);
  } catch {
    return false;
  }
}).map(Number);

const end = () => {
  for (const id of children()) {
    try {
      process.kill(id, 'SIGKILL');
    } catch {
      // it has already ended
    }
  }
};
process.on('exit', end);
process.on('SIGTERM', () => process.exit(1));
process.on('SIGINT', () => process.exit(1));

const resident = (id) => {
  const status = fs.readFileSync(`/proc/${id}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
};

const startSelf = async () => {
  const port = await freePort();
  const distribution = require(program)({ip: '127.0.0.1', port});
  await new Promise((resolve) => distribution.node.start(resolve));
  return distribution;
};

// starts nodes one after another, because the reference loses callbacks of nodes that start at the same time
const spawn = async (distribution, nodes) => {
  const members = {};
  for (let i = 0; i < nodes; i++) {
    const node = {ip: '127.0.0.1', port: await freePort()};
    const [error] = await outcome((done) => distribution.local.status.spawn({...node}, done));
    if (error) throw error;
    members[distribution.util.id.getSID(node)] = node;
  }
  return members;
};

const form = async (distribution, members) => {
  await outcome((done) => distribution.local.groups.put({gid: 'bench'}, members, done));
  const [errors] = await outcome((done) => distribution.bench.groups.put({gid: 'bench'}, members, done));
  const failed = Object.values(errors || {});
  if (failed.length > 0) throw failed[0];
};

const seconds = (began) => Number(process.hrtime.bigint() - began) / 1e9;

const launch = async (nodes) => {
  const distribution = await startSelf();
  const began = process.hrtime.bigint();
  const members = await spawn(distribution, nodes);
  const up = seconds(began);
  await form(distribution, members);
  const standing = seconds(began);
  await sleep(1000);
  const memory = children().map(resident).sort((a, b) => a - b);
  return {up, standing, resident: memory[memory.length >> 1], worst: memory[memory.length - 1]};
};

const processes = async (nodes, messages) => {
  const distribution = await startSelf();
  const heard = new Array(messages).fill(0);
  let told = () => {};
  const counter = {
    count: (message, done) => {
      heard[message] += 1;
      told();
      done(null, heard[message]);
    },
  };
  await outcome((done) => distribution.local.routes.put(counter, 'counter', done));
  const members = await spawn(distribution, nodes);
  await form(distribution, members);

  const complete = [];
  const {ip, port} = distribution.node.config;
  for (let message = 0; message < messages; message++) {
    const began = process.hrtime.bigint();
    const all = new Promise((resolve) => {
      told = () => heard[message] >= nodes && resolve(true);
    });
    const calls = [[message], {node: {ip, port}, service: 'counter', method: 'count'}];
    distribution.bench.gossip.send(calls, {service: 'comm', method: 'send'}, () => {});
    // the reference cannot complete a message that is not complete by then
    if (await Promise.race([all, sleep(5000)])) complete.push(seconds(began) * 1e3);
  }
  const covered = heard.reduce((sum, count) => sum + Math.min(count, nodes), 0);
  const again = heard.reduce((sum, count) => sum + Math.max(count - nodes, 0), 0);
  return {complete, coverage: covered / (nodes * messages), again};
};

const rpc = async (inFlight, milliseconds, text) => {
  const distribution = await startSelf();
  const node = {ip: '127.0.0.1', port: await freePort()};
  const [error] = await outcome((done) => distribution.local.status.spawn({...node}, done));
  if (error) throw error;
  // functions are values in the reference: the service is shipped to the other node
  const echo = {echo: (text, done) => done(null, text)};
  await outcome((done) => distribution.local.comm.send([echo, 'echo'], {node, service: 'routes', method: 'put'}, done));

  const runs = [];
  for (const many of inFlight) {
    const latencies = [];
    let failed = 0;
    const began = process.hrtime.bigint();
    const from = milliseconds / 5e3;
    const until = milliseconds / 1e3;
    const one = async () => {
      for (let asked = seconds(began); asked < until; asked = seconds(began)) {
        const remote = {node: {...node}, service: 'echo', method: 'echo'};
        const [error, value] = await outcome((done) => distribution.local.comm.send([text], remote, done));
        const now = seconds(began);
        if (now < from || now > until) continue;
        if (error || value !== text) failed += 1;
        else latencies.push((now - asked) * 1e3);
      }
    };
    await Promise.all(Array.from({length: many}, one));
    latencies.sort((a, b) => a - b);
    const at = (share) => latencies[Math.min(latencies.length - 1, Math.round((latencies.length - 1) * share))];
    const rate = latencies.length / (until - from);
    runs.push({in_flight: many, rate, p50: at(0.5), p90: at(0.9), p99: at(0.99), failed});
  }
  return {runs};
};

const parts = {
  launch: () => launch(Number(rest[0])),
  processes: () => processes(Number(rest[0]), Number(rest[1])),
  rpc: () => rpc(rest[0].split(',').map(Number), Number(rest[1]), rest[2]),
};

parts[part]().then((said) => {
  fs.writeSync(1, JSON.stringify({version, ...said}) + '\n');
  process.exit(0);
}, (why) => {
  fs.writeSync(1, JSON.stringify({version, error: String(why)}) + '\n');
  process.exit(1);
});
