// Counts words on three nodes, by map and reduce, with services that this script ships:
//
//     chinwag run examples/mapreduce.js --port 0
//
// Each node gets two kinds of services. `memory`, which routes.put puts on every member, keeps values on its own node.
// `distribution.words.store` and `distribution.words.mr` belong to the group: a function that every member runs once assigns
// them. They find the member that holds a key and call its `memory`.

const GID = 'words';

// ---- services of a node: objects that travel as text and keep their state in `this` ----

const memory = {
  values: {},
  put(key, value, callback) {
    this.values[key] = value;
    callback(null, value);
  },
  get(key, callback) {
    if (Object.hasOwn(this.values, key)) callback(null, this.values[key]);
    else callback(new Error(`no value has the key ${key}`));
  },
  append(key, value, callback) {
    const list = Object.hasOwn(this.values, key) ? this.values[key] : (this.values[key] = []);
    list.push(value);
    callback(null, list.length);
  },
  keys(prefix, callback) {
    callback(null, Object.keys(this.values).filter((key) => key.startsWith(prefix)));
  },
};

// ---- services of the group: every member runs this function, which must not use variables of this file ----

const setup = {
  start(gid, callback) {
    const { getID, getNID } = distribution.util.id;
    // calls f(...args, callback), and returns the answer as a promise
    const ask = (f, ...args) => new Promise((resolve, reject) => f(...args, (error, value) => {
      const failed = error instanceof Error || (error && Object.keys(error).length > 0);
      if (failed) reject(error); else resolve(value);
    }));

    // the member whose hash with the key is highest holds it, so that all members agree without asking each other
    const holder = async (key) => {
      const members = Object.values(await ask(distribution.local.groups.get, gid));
      const weight = (node) => getID([key, getNID(node)]);
      return members.reduce((best, node) => (weight(node) > weight(best) ? node : best));
    };
    const onHolder = async (method, key, ...rest) =>
      ask(distribution.local.comm.send, [key, ...rest], { node: await holder(key), service: 'memory', method });
    const answer = (promise, callback) => promise.then((value) => callback(null, value), callback);
    distribution[gid].store = {
      put: (value, key, callback) => answer(onHolder('put', key, value), callback),
      get: (key, callback) => answer(onHolder('get', key), callback),
      append: (value, key, callback) => answer(onHolder('append', key, value), callback),
    };

    const own = async (prefix) => {
      const keys = await ask(distribution.local.memory.keys, prefix);
      return Promise.all(keys.map(async (key) => [key.slice(prefix.length), await ask(distribution.local.memory.get, key)]));
    };
    distribution[gid].mr = {
      // what a member does with its share of the keys, in the two phases
      mapHere: async (job, map) => {
        for (const [key, value] of await own('in/')) {
          for (const [mapped, part] of map(key, value)) {
            await ask(distribution[gid].store.append, part, `${job}/${mapped}`);
          }
        }
      },
      reduceHere: async (job, reduce) => (await own(`${job}/`)).map(([key, parts]) => [key, reduce(key, parts)]),

      // runs a job on all members: ships its functions, then starts one phase after the other
      exec: ({ map, reduce }, callback) => {
        const job = `job-${getID([gid, Date.now(), Math.random()]).slice(0, 8)}`;
        const service = {
          map, reduce,
          mapPhase(gid, job) { return distribution[gid].mr.mapHere(job, this.map); },
          reducePhase(gid, job) { return distribution[gid].mr.reduceHere(job, this.reduce); },
        };
        const onAll = (method) => ask(distribution[gid].comm.send, [gid, job], { service: job, method });
        answer((async () => {
          await ask(distribution[gid].routes.put, service, job);
          await onAll('mapPhase');
          const reduced = Object.values(await onAll('reducePhase')).flat();
          await ask(distribution[gid].routes.rem, job);
          return Object.fromEntries(reduced.sort());
        })(), callback);
      },
    };
    callback(null, 'started');
  },
};

// ---- the program ----

const ask = (f, ...args) => new Promise((resolve, reject) => f(...args, (error, value) => {
  if (error instanceof Error || (error && Object.keys(error).length > 0)) reject(error); else resolve(value);
}));
const spawn = () => ask(distribution.local.status.spawn, { ip: '127.0.0.1', port: 0 });

const members = [nodeConfig, await spawn(), await spawn()];
const group = Object.fromEntries(members.map((node) => [id.getSID(node), node]));
await ask(distribution.local.groups.put, GID, group);
await ask(distribution[GID].groups.put, GID, group);

await ask(distribution[GID].routes.put, memory, 'memory');
await ask(distribution[GID].routes.put, setup, 'setup');
await ask(distribution[GID].comm.send, [GID], { service: 'setup', method: 'start' });

const lines = {
  one: 'a rumor reaches a node and the node tells a peer',
  two: 'the peer tells a peer and a peer tells the node',
  three: 'a node that knows the rumor ignores the rumor',
};
for (const [key, line] of Object.entries(lines)) {
  await ask(distribution[GID].store.put, line, `in/${key}`);
}

const counts = await ask(distribution[GID].mr.exec, {
  map: (key, line) => line.split(' ').map((word) => [word, 1]),
  reduce: (word, ones) => ones.length,
});
console.log(counts);

for (const node of members.slice(1)) {
  await ask(distribution.local.comm.send, [], { node, service: 'status', method: 'stop' });
}

// the same on one node
const expected = {};
for (const word of Object.values(lines).join(' ').split(' ')) expected[word] = (expected[word] || 0) + 1;
for (const word of Object.keys({ ...expected, ...counts })) {
  if (counts[word] !== expected[word]) throw new Error(`${word} was counted ${counts[word]} times, not ${expected[word]}`);
}
