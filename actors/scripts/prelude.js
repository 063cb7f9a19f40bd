// The environment of shipped code. The engine evaluates this file once, before any shipped code. Only this file can
// reach `host`, which are the functions in host_functions.rs. It returns the functions that the engine calls.
(function (host, config, assigned) {
  'use strict';
  const global = globalThis;
  // this file keeps the originals, because shipped code can replace the globals
  const {
    apply, get: reflectGet, has: reflectHas, defineProperty: reflectDefine, deleteProperty, ownKeys,
    getOwnPropertyDescriptor, getPrototypeOf,
  } = Reflect;
  const { create, defineProperty, getOwnPropertyNames, hasOwn, prototype: objectPrototype } = Object;
  const { isArray } = Array;
  const { stringify } = JSON;
  const textOf = Function.prototype.toString;
  const resolve = Promise.resolve.bind(Promise);
  const then = Promise.prototype.then;
  const weakGet = WeakMap.prototype.get;
  const weakSet = WeakMap.prototype.set;
  const wellFormed = String.prototype.toWellFormed;
  // a simulation has a time of day of its own
  if (host.now() !== undefined) {
    const { construct } = Reflect;
    const RealDate = Date;
    const now = () => host.now();
    const SimulatedDate = function Date(...args) {
      if (!new.target) return new RealDate(now()).toString();
      return construct(RealDate, args.length === 0 ? [now()] : args, new.target);
    };
    SimulatedDate.prototype = RealDate.prototype;
    for (const [name, value] of [['now', now], ['parse', RealDate.parse], ['UTC', RealDate.UTC]]) {
      defineProperty(SimulatedDate, name, { value, writable: true, enumerable: false, configurable: true });
    }
    defineProperty(RealDate.prototype, 'constructor', { value: SimulatedDate });
    defineProperty(global, 'Date', { value: SimulatedDate });
    if (global.performance) {
      const start = now();
      defineProperty(global, 'performance', { value: { timeOrigin: start, now: () => now() - start } });
    }
  }
  const isoDate = Date.prototype.toISOString;
  const dateTime = Date.prototype.getTime;
  const BigIntOf = BigInt;
  const DateOf = Date;
  const stackOf = getOwnPropertyDescriptor(Error.prototype, 'stack').get;
  // an object of each class that `arguments` can have, and one around each kind of primitive value
  const samples = {
    arguments: [(function () { return arguments; })(), Function('return arguments')()],
    boxed: [Object(0), Object(''), Object(true), Object(0n), Object(Symbol())],
  };
  const errors = { __proto__: null, Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

  // callbacks of pending calls and timers, by number, and functions that createRPC registered, by name
  const callbacks = create(null);
  const timers = create(null);
  const registered = create(null);
  // the paths of native functions, and the targets of the methods below, which are sent as stubs
  const paths = new WeakMap();
  const natives = create(null);
  const stubs = new WeakMap();
  // the text of functions that stand for another function
  const texts = new WeakMap();
  const sourceOf = (func) => {
    const text = apply(weakGet, texts, [func]);
    return text === undefined ? apply(textOf, func, []) : text;
  };

  // shipped code can make QuickJS call a function of its own for every error, by these two properties of `Error`
  const traceLimit = getOwnPropertyDescriptor(Error, 'stackTraceLimit');
  const tracePreparer = getOwnPropertyDescriptor(Error, 'prepareStackTrace');
  // whether QuickJS compiled the function, from text
  const lineOf = getOwnPropertyDescriptor(Function.prototype, 'lineNumber').get;
  // what the text of a function says about its parameters
  const shapes = new WeakMap();

  const defineHidden = (object, name, value) =>
    defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });

  // ---- calls ----

  // a function in the last position is the callback, except where the method itself takes a function there
  const functionAt = (service, method) => service === 'gossip' && method === 'at' ? 1
    : service === 'membership' && method === 'subscribe' ? 0 : -1;
  const method = (gid, service, name) => {
    const call = (...args) => {
      let callback = 0;
      const last = args.length - 1;
      if (typeof args[last] === 'function' && last > functionAt(service, name)) {
        callback = host.nextNumber();
        callbacks[callback] = args.pop();
      }
      try {
        host.call(gid, service, name, args, callback);
      } catch (error) {
        delete callbacks[callback];
        throw error;
      }
    };
    apply(weakSet, stubs, [call, [gid, service, name]]);
    return call;
  };

  // an object whose members are looked up each time, because groups and services come and go. A member's name may be one
  // that every object inherits, such as `constructor`, so listed names and own names come before inherited ones. Code can
  // add names, but it cannot replace what is listed, even before it is, or what the object begins with
  const lookups = new WeakMap();
  const lookup = (path, list, make, own, added) => {
    const target = own || added || {};
    const fixed = create(null);
    if (own) for (const key of ownKeys(own)) fixed[key] = true;
    const listed = (object, key) => typeof key === 'string' && !fixed[key] && list(key);
    const checkOpen = (key) => {
      if (typeof key === 'string' && (fixed[key] || list(key))) {
        throw new errors.TypeError(`${path}.${key} is built in, and code cannot replace it`);
      }
    };
    const proxy = new Proxy(target, {
      // all code shares these objects
      setPrototypeOf: () => false,
      preventExtensions: () => false,
      get: (object, key, self) => listed(object, key) ? make(key) : reflectGet(object, key, self),
      has: (object, key) => !!listed(object, key) || reflectHas(object, key),
      ownKeys: (object) => {
        const found = ownKeys(object);
        const more = list();
        for (let i = 0; i < more.length; i++) {
          if (!hasOwn(object, more[i])) defineProperty(found, found.length, { value: more[i] });
        }
        return found;
      },
      getOwnPropertyDescriptor: (object, key) => {
        if (!listed(object, key)) return getOwnPropertyDescriptor(object, key);
        return { value: make(key), writable: true, enumerable: true, configurable: true };
      },
      set: (object, key, value) => {
        checkOpen(key);
        return reflectDefine(object, key, { value, writable: true, enumerable: true, configurable: true });
      },
      defineProperty: (object, key, property) => {
        checkOpen(key);
        return reflectDefine(object, key, property);
      },
      deleteProperty: (object, key) => {
        checkOpen(key);
        return deleteProperty(object, key);
      },
    });
    apply(weakSet, lookups, [proxy, true]);
    return proxy;
  };
  const service = (gid, name) =>
    lookup(`distribution.${gid}.${name}`, (key) => host.methods(gid, name, key), (key) => method(gid, name, key));
  // What code assigns to `distribution[gid]` is kept with the group, in an object that shipped code and the prompt share. The
  // node's own services cannot be replaced in this way.
  const opened = create(null);
  const group = (gid) => {
    if (!opened[gid]) {
      if (!assigned[gid]) assigned[gid] = {};
      const list = (key) => host.services(gid, key);
      opened[gid] = lookup(`distribution.${gid}`, list, (key) => service(gid, key), undefined, assigned[gid]);
    }
    return opened[gid];
  };
  const isGroup = (gid) => {
    const found = host.groups(gid);
    // what was assigned to a group that has been deleted since goes with it
    if (!found) {
      delete opened[gid];
      delete assigned[gid];
    }
    return found;
  };

  const getID = (value) => host.sha256(stringify(value));
  const getNID = (node) => getID({ ip: node.ip, port: node.port });
  const id = {
    getID,
    getNID,
    getSID: (node) => getNID(node).substring(0, 5),
    getMID: (message) => getID([message, DateOf.now(), host.random()]),
    idToNum: (text) => BigIntOf('0x' + text),
  };
  const createRPC = (func) => {
    if (typeof func !== 'function') throw new errors.TypeError('createRPC takes a function');
    const name = host.register();
    registered[name] = func;
    return host.evaluate(host.stub('local', name, 'call'));
  };
  const toAsync = (func) => {
    if (typeof func !== 'function') throw new errors.TypeError('toAsync takes a function');
    const text = sourceOf(func);
    const answering = (...args) => {
      const callback = args.pop();
      let value;
      try {
        value = func(...args);
      } catch (error) {
        return callback(error);
      }
      return callback(null, value);
    };
    apply(weakSet, texts, [answering, text]);
    defineHidden(answering, 'toString', () => text);
    return answering;
  };

  const server = {
    address: () => ({ address: config.ip, port: config.port, family: config.ip.includes(':') ? 'IPv6' : 'IPv4' }),
    close: (callback) => {
      method('local', 'status', 'stop')((error) => { if (typeof callback === 'function') callback(error || undefined); });
    },
  };
  const distribution = lookup(
    'distribution',
    (gid) => gid === undefined ? host.groups() : isGroup(gid),
    group,
    {
      // the node runs already
      node: { config, server, start: (callback) => { if (typeof callback === 'function') callback(null, server); } },
      util: {
        id,
        serialize: (value) => host.serialize(value),
        deserialize: (text) => host.deserialize(text),
        wire: { createRPC, toAsync },
      },
    },
  );

  // ---- timers ----

  const start = (repeats) => (func, delay, ...args) => {
    if (typeof func !== 'function') throw new errors.TypeError('a timer takes a function');
    const number = host.startTimer(+delay, repeats);
    timers[number] = [func, args, repeats];
    return number;
  };
  const stop = (number) => {
    if (typeof number !== 'number' || !(number in timers)) return;
    delete timers[number];
    host.stopTimer(number);
  };

  // ---- require ----

  // the one module is `distribution`, under each name that programs for the JavaScript reference give it; a program's
  // own configuration can name another address than that of the node, which runs already
  let isOwned = false;
  const isAdopted = new WeakSet();
  const hasAdopted = isAdopted.has;
  const addAdopted = isAdopted.add;
  const adopt = (given, own) => {
    const isObject = given !== null && typeof given === 'object';
    // a shipped function only gets the module
    if (!isOwned || !isObject || given === own || given === config || apply(hasAdopted, isAdopted, [given])) return;
    const { ip, port, onStart } = given;
    const isElsewhere = (ip !== undefined && ip !== own.ip) || (port !== undefined && port !== own.port);
    if (isElsewhere) console.warn(`nodeConfig names ${ip}:${port}, but this node runs at ${own.ip}:${own.port}`);
    const adopted = { ...given, ip: own.ip, port: own.port };
    apply(addAdopted, isAdopted, [given]);
    apply(addAdopted, isAdopted, [adopted]);
    defineHidden(global, 'nodeConfig', adopted);
    if (typeof onStart === 'function') start(false)(() => onStart(server), 0);
  };
  const requires = (provided, own) => {
    const required = (name) => {
      if (name === '@brown-ds/distribution') return (given) => { adopt(given, own); return provided; };
      if (typeof name === 'string' && /^(.*\/)?distribution(\.js)?$/.test(name)) {
        adopt(global.nodeConfig, own);
        return provided;
      }
      const error = new errors.Error(`Cannot find module '${name}'; there is only distribution.js`);
      error.code = 'MODULE_NOT_FOUND';
      throw error;
    };
    // a prompt on another node provides that node's services
    defineHidden(required, 'providing', requires);
    return required;
  };

  // ---- console ----

  const quoted = (text) => {
    const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
    let out = '';
    for (const c of text) {
      out += c === '\n' ? '\\n' : c === '\t' ? '\\t' : c === '\r' ? '\\r' : c === '\\' ? '\\\\'
        : c === mark ? '\\' + c : c < ' ' ? '\\x' + c.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase() : c;
    }
    return mark + out + mark;
  };
  const keyText = (key) => typeof key === 'symbol' ? `[${String(key)}]`
    : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quoted(key);
  // the places of a stack that are in the user's code: neither in this file nor in a function of the host
  const placesOf = (error) => {
    const own = getOwnPropertyDescriptor(error, 'stack');
    const stack = own ? own.value : apply(stackOf, error, []);
    if (typeof stack !== 'string') return '';
    let out = '';
    for (const line of stack.split('\n')) {
      // a native function, and what is added before a line of the prompt, have no column
      if (line.includes('chinwag:prelude:') || !/:\d+:\d+\)?$/.test(line)) continue;
      out += '\n' + line.replace(/^ *at (?:<\w+> )?\((.*)\)$/, '    at $1').replace(/(REPL\d+):0:\d+/, '$1:1:1');
    }
    return out;
  };
  const errorText = (error, nested) => {
    const places = placesOf(error);
    const text = `${error.name}: ${error.message}` || 'Error';
    let more = '';
    const cause = getOwnPropertyDescriptor(error, 'cause');
    if (cause && cause.value !== undefined) more = ` {\n  [cause]: ${nested(cause.value).replaceAll('\n', '\n  ')}\n}`;
    return { text: text + places + more, isBare: !places };
  };
  const mostShown = 100;
  const show = (value, depth, open, deepest) => {
    switch (typeof value) {
      case 'string': return quoted(value);
      case 'number': return Object.is(value, -0) ? '-0' : String(value);
      case 'bigint': return `${value}n`;
      case 'function': {
        const kind = /^class\b/.test(apply(textOf, value, [])) ? 'class' : 'Function';
        return kind === 'class' ? `[class ${value.name || '(anonymous)'}]`
          : value.name ? `[Function: ${value.name}]` : '[Function (anonymous)]';
      }
      case 'object': break;
      default: return String(value);
    }
    if (value === null) return 'null';
    if (open.includes(value)) return '[Circular *1]';
    if (value instanceof errors.Error) {
      const { text, isBare } = errorText(value, (item) => show(item, depth + 1, [...open, value], deepest));
      return depth && isBare ? `[${text}]` : text;
    }
    if (value instanceof DateOf) return Number.isNaN(apply(dateTime, value, [])) ? 'Invalid Date' : apply(isoDate, value, []);
    if (value instanceof RegExp || value instanceof Boolean || value instanceof Number) return String(value);
    if (value instanceof Promise) return 'Promise { <pending> }';
    const maker = getPrototypeOf(value);
    const name = maker === null ? '[Object: null prototype]' : typeof maker.constructor === 'function' ? maker.constructor.name : 'Object';
    if (depth > deepest) return isArray(value) ? '[Array]' : `[${name}]`;
    const parts = [];
    const inner = [...open, value];
    const nested = (item) => show(item, depth + 1, inner, deepest);
    const list = isArray(value);
    if (list) {
      let holes = 0;
      const flush = () => { if (holes) parts.push(`<${holes} empty item${holes > 1 ? 's' : ''}>`); holes = 0; };
      const shown = Math.min(value.length, mostShown);
      for (let i = 0; i < shown; i++) {
        if (!(i in value)) { holes++; continue; }
        flush();
        parts.push(nested(value[i]));
      }
      flush();
      const more = value.length - shown;
      if (more > 0) parts.push(`... ${more} more item${more > 1 ? 's' : ''}`);
    } else if (value instanceof Map) {
      for (const [key, item] of value) parts.push(`${nested(key)} => ${nested(item)}`);
    } else if (value instanceof Set) {
      for (const item of value) parts.push(nested(item));
    }
    let count = 0;
    for (const key of ownKeys(value)) {
      if (list && (key === 'length' || /^\d+$/.test(String(key)))) continue;
      const own = getOwnPropertyDescriptor(value, key);
      if (!own || !own.enumerable) continue;
      if (++count > mostShown) { parts.push('...'); break; }
      const item = own.get ? (own.set ? '[Getter/Setter]' : '[Getter]') : own.set ? '[Setter]' : nested(own.value);
      parts.push(`${keyText(key)}: ${item}`);
    }
    const sized = value instanceof Map || value instanceof Set ? `${name}(${value.size}) ` : '';
    const before = sized || (list || name === 'Object' ? '' : `${name} `);
    const [left, right] = list ? ['[', ']'] : ['{', '}'];
    if (parts.length === 0) return `${before}${left}${right}`;
    const length = parts.reduce((sum, part) => sum + part.length + 2, before.length);
    if (length <= 76 && !parts.some((part) => part.includes('\n'))) return `${before}${left} ${parts.join(', ')} ${right}`;
    return `${before}${left}\n${parts.map((part) => '  ' + part.replaceAll('\n', '\n  ')).join(',\n')}\n${right}`;
  };
  const inspect = (value) => {
    const text = show(value, 0, [], 2);
    return typeof value === 'object' && text.includes('[Circular *1]') ? `<ref *1> ${text}` : text;
  };
  const plain = (value) => typeof value === 'string' ? value : inspect(value);
  const format = (args) => {
    let next = 0;
    let out = '';
    if (typeof args[0] === 'string' && args.length > 1) {
      next = 1;
      out = args[0].replace(/%[sdifjoOc%]/g, (mark) => {
        if (mark === '%%') return '%';
        if (next >= args.length) return mark;
        const value = args[next++];
        switch (mark) {
          case '%s': return typeof value === 'object' ? show(value, 0, [], 0) : typeof value === 'bigint' ? `${value}n` : String(value);
          case '%d': return typeof value === 'bigint' ? `${value}n` : typeof value === 'object' ? 'NaN' : String(Number(value));
          case '%i': return String(parseInt(value, 10));
          case '%f': return String(parseFloat(value));
          case '%j': return stringify(value);
          case '%c': return '';
          default: return inspect(value);
        }
      });
    }
    for (; next < args.length; next++) out += (next ? ' ' : '') + plain(args[next]);
    return out;
  };
  const print = (level) => (...args) => host.print(level, format(args));
  const console = {
    log: print(0), info: print(0), debug: print(1), warn: print(2), error: print(3), trace: print(3),
    assert: (condition, ...args) => { if (!condition) console.error('Assertion failed', ...args); },
    dir: (value) => host.print(0, inspect(value)),
  };

  // ---- globals ----

  defineHidden(global, 'console', console);
  defineHidden(global, 'global', global);
  defineHidden(global, 'distribution', distribution);
  defineHidden(global, 'nodeConfig', config);
  defineHidden(global, 'require', requires(distribution, config));
  defineHidden(global, 'setTimeout', start(false));
  defineHidden(global, 'setInterval', start(true));
  defineHidden(global, 'setImmediate', (func, ...args) => start(false)(func, 0, ...args));
  defineHidden(global, 'clearTimeout', stop);
  defineHidden(global, 'clearInterval', stop);
  defineHidden(global, 'clearImmediate', stop);
  defineHidden(global, 'queueMicrotask', (func) => {
    if (typeof func !== 'function') throw new errors.TypeError('queueMicrotask takes a function');
    apply(then, resolve(), [() => func()]);
  });
  defineHidden(Math, 'random', () => host.random());

  const namePath = (func, path) => {
    if (typeof func !== 'function' || weakGet.call(paths, func)) return;
    weakSet.call(paths, func, path);
    natives[path] = func;
  };
  for (const name of getOwnPropertyNames(global)) {
    const held = getOwnPropertyDescriptor(global, name).value;
    if (held === global || held === distribution || held === null) continue;
    namePath(held, name);
    if (typeof held !== 'object' && typeof held !== 'function') continue;
    for (const key of getOwnPropertyNames(held)) {
      if (key !== 'constructor') namePath(getOwnPropertyDescriptor(held, key).value, `${name}.${key}`);
    }
  }

  // ---- the prompt ----

  // what lines of the prompt declared with let, const and class, by name; and the value of the last line
  const declared = create(null);
  let last;
  let isLastKept = true;
  const declare = (line) => (variables, functions) => {
    delete global.__declare;
    for (const [name] of variables) {
      const held = getOwnPropertyDescriptor(global, name);
      const isTaken = held && (!held.configurable || (held.get && declared[name] && declared[name].get === held.get && declared[name].line.isDone));
      if (isTaken) throw new errors.SyntaxError(`Identifier '${name}' has already been declared`);
    }
    for (const [name, get, set] of variables) {
      line.before[name] = getOwnPropertyDescriptor(global, name);
      declared[name] = { get, line };
      defineProperty(global, name, { get, set, enumerable: true, configurable: true });
    }
    for (const [name, get] of functions) global[name] = get();
  };
  const endLine = (line) => {
    for (const name of getOwnPropertyNames(line.before)) {
      if (declared[name].line !== line) continue;
      delete declared[name];
      const before = line.before[name];
      if (before) defineProperty(global, name, before);
      else delete global[name];
    }
  };
  const keepLast = () => defineProperty(global, '_', {
    get: () => last,
    set: (value) => {
      isLastKept = false;
      defineHidden(global, '_', value);
      host.print(0, 'Expression assignment to _ now disabled.');
    },
    enumerable: false,
    configurable: true,
  });

  // ---- functions that the engine calls ----

  return {
    // calls a shipped function and awaits its answer; `usesCallback` tells whether it answers through its callback
    invoke: (func, self, args, usesCallback) => {
      const result = apply(func, self, args);
      if (result !== null && (typeof result === 'object' || typeof result === 'function')) {
        const next = result.then;
        if (typeof next === 'function') {
          const answer = args[args.length - 1];
          const done = (value) => { if (!usesCallback) answer(undefined, value); };
          apply(then, resolve(result), [done, (error) => answer(error === undefined || error === null ? new errors.Error(`the promise was rejected with ${error}`) : error)]);
          return;
        }
      }
      if (!usesCallback) args[args.length - 1](undefined, result);
    },
    settle: (number, error, value) => {
      const callback = callbacks[number];
      delete callbacks[number];
      if (callback) callback(error, value);
    },
    forgetCallback: (number) => { delete callbacks[number]; },
    fire: (number) => {
      const timer = timers[number];
      if (!timer) return;
      if (!timer[2]) delete timers[number];
      apply(timer[0], global, timer[1]);
    },
    forgetTimer: (number) => { delete timers[number]; },
    // a locked realm replaces this
    lockedValue: () => [],
    registered: (name) => registered[name],
    unregister: (name) => { delete registered[name]; },
    broken: (error) => () => { throw error; },
    sourceOf: (func) => {
      const stub = apply(weakGet, stubs, [func]);
      if (stub) return 's' + host.stub(stub[0], stub[1], stub[2]);
      const path = apply(weakGet, paths, [func]);
      if (path) return 'n' + path;
      return apply(lineOf, func, []) === undefined ? '' : 's' + sourceOf(func);
    },
    // a plain object with what such an object lists, or `undefined` for a proxy that shipped code made
    copyOf: (proxy) => {
      if (!apply(weakGet, lookups, [proxy])) return undefined;
      const copy = {};
      const keys = ownKeys(proxy);
      for (let i = 0; i < keys.length; i++) {
        defineProperty(copy, keys[i], getOwnPropertyDescriptor(proxy, keys[i]));
      }
      return copy;
    },
    samples: () => samples,
    shapeOf: (func) => apply(weakGet, shapes, [func]),
    keepShape: (func, shape) => { apply(weakSet, shapes, [func, shape]); },
    pauseTraces: () => {
      const paused = [apply(traceLimit.get, errors.Error, []), apply(tracePreparer.get, errors.Error, [])];
      apply(traceLimit.set, errors.Error, [0]);
      apply(tracePreparer.set, errors.Error, [undefined]);
      return paused;
    },
    resumeTraces: (paused) => {
      apply(traceLimit.set, errors.Error, [paused[0]]);
      apply(tracePreparer.set, errors.Error, [paused[1]]);
    },
    native: (path) => {
      if (natives[path]) return natives[path];
      const missing = () => { throw new errors.ReferenceError(`this node has no ${path}`); };
      apply(weakSet, paths, [missing, path]);
      return missing;
    },
    error: (name, message, cause) => {
      const Kind = errors[name] || errors.Error;
      const error = cause === undefined ? new Kind(message) : new Kind(message, { cause });
      defineHidden(error, 'stack', placesOf(error).slice(1));
      if (error.name !== name) defineHidden(error, 'name', name);
      return error;
    },
    date: (time) => new DateOf(time),
    time: (date) => apply(dateTime, date, []),
    bigint: (text) => BigIntOf(text),
    wellFormed: (text) => apply(wellFormed, text, []),
    inspect,
    show: (result, answer, fail) => { apply(then, resolve(result), [(done) => answer(undefined, inspect(done.value)), fail]); },
    // a script of the node's owner begins
    beginScript: () => { isOwned = true; },
    // a line of the prompt begins; until `lineBegan`, its script can declare names
    beginLine: (declares) => {
      if (isLastKept && !getOwnPropertyDescriptor(global, '_')) keepLast();
      const line = { before: create(null), isDone: false };
      if (declares) defineHidden(global, '__declare', declare(line));
      return line;
    },
    lineBegan: () => { delete global.__declare; },
    showLine: (result, answer, fail, line) => {
      apply(then, resolve(result), [
        (done) => { line.isDone = true; last = done.value; answer(undefined, inspect(done.value)); },
        (error) => { endLine(line); fail(error); },
      ]);
    },
  };
})
