// A controller that is written for the reference and controls nodes of chinwag. It spawns two nodes with the reference's
// own spawn, puts a group of them and itself, ships a service to them, is called back by them, gossips, and stops them.
// It prints the results as JSON.
const distribution = require('./reference.js');
const {id, wire} = distribution.util;
const seen = {};

const promised = (call) => new Promise((resolve) => call((error, value) => resolve({error, value})));
const failed = (error) => error && (error instanceof Error || Object.keys(error).length > 0);
const must = async (what, call) => {
  const {error, value} = await promised(call);
  if (failed(error)) {
    throw new Error(`${what}: ${error.message || JSON.stringify(error, Object.getOwnPropertyNames(error))}`);
  }
  return value;
};
const until = async (condition) => {
  while (!condition()) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

async function run(ports) {
  const self = distribution.node.config;
  const local = distribution.local;

  // the caller's onStart runs on the new node, and the callback runs here
  seen.configurations = [];
  const spawned = [];
  for (const port of ports) {
    const onStart = () => {
      globalThis.begun = (globalThis.begun || 0) + 1;
    };
    const node = {ip: '127.0.0.1', port: Number(port)};
    const configuration = await must('spawn', (cb) => local.status.spawn({...node, onStart}, cb));
    seen.configurations.push({ip: configuration.ip, port: configuration.port});
    spawned.push(node);
  }

  const group = {};
  for (const node of [self, ...spawned]) {
    group[id.getSID(node)] = {ip: node.ip, port: node.port};
  }
  await must('put here', (cb) => local.groups.put({gid: 'mixed'}, group, cb));
  await must('put there', (cb) => distribution.mixed.groups.put({gid: 'mixed'}, group, cb));
  seen.members = Object.keys(await must('get', (cb) => distribution.mixed.groups.get('mixed', cb))).length;
  seen.sids = (await must('sid', (cb) => distribution.mixed.status.get('sid', cb))).sort();
  seen.expected = Object.keys(group).sort();
  seen.heap = await must('heap', (cb) => distribution.mixed.status.get('heapTotal', cb));

  // a service that is shipped as source, with every way to answer
  const service = {
    begun: (callback) => callback(null, globalThis.begun),
    add: (a, b, callback) => callback(null, a + b),
    refuse: (callback) => callback(new TypeError('I will not')),
    sid: (callback) => callback(null, distribution.util.id.getSID(distribution.node.config)),
    relay: (callback) => distribution.local.status.get('sid', callback),
  };
  await must('ship', (cb) => distribution.mixed.routes.put(service, 'shipped', cb));
  const on = (node, method) => ({node, service: 'shipped', method});
  seen.begun = await must('begun', (cb) => local.comm.send([], on(spawned[0], 'begun'), cb));
  seen.sum = await must('add', (cb) => local.comm.send([2, 3], on(spawned[0], 'add'), cb));
  seen.own = await must('sid', (cb) => local.comm.send([], on(spawned[1], 'sid'), cb));
  seen.relayed = await must('relay', (cb) => local.comm.send([], on(spawned[1], 'relay'), cb));
  seen.ownExpected = id.getSID(spawned[1]);
  const {error} = await promised((cb) => local.comm.send([], on(spawned[0], 'refuse'), cb));
  seen.refused = {type: error.name, message: error.message};
  const source = await must('source', (cb) => local.comm.send(['shipped'], {node: spawned[0], service: 'routes', method: 'get'}, cb));
  seen.source = source.add.toString() === service.add.toString();

  // a callback of this node, as a service of another node
  let called = 0;
  const count = wire.createRPC(wire.toAsync(() => ++called));
  await must('rpc', (cb) => distribution.mixed.routes.put({count}, 'counting', cb));
  const counting = {node: spawned[0], service: 'counting', method: 'count'};
  seen.counted = await must('count', (cb) => local.comm.send([], counting, cb));

  // the rumor of the handout, through members of both kinds
  let heard = 0;
  await must('counter', (cb) => local.routes.put({count: (callback) => callback(null, ++heard)}, 'counter', cb));
  const message = [[], {node: {ip: self.ip, port: self.port}, service: 'counter', method: 'count'}];
  await promised((cb) => distribution.mixed.gossip.send(message, {service: 'comm', method: 'send'}, cb));
  await until(() => heard >= 2);
  seen.heard = heard;

  for (const node of spawned) {
    const stopped = await must('stop', (cb) => local.comm.send([], {node, service: 'status', method: 'stop'}, cb));
    seen.stopped = (seen.stopped || 0) + (stopped.port === node.port ? 1 : 0);
  }
}

distribution.node.start(() => {
  run(process.env.PORTS.split(','))
      .then(() => console.log(JSON.stringify(seen)))
      .catch((error) => console.log(JSON.stringify({...seen, failed: error.stack})))
      .finally(() => process.exit(0));
});
