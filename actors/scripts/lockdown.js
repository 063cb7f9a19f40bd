// Locks a realm: code in it can neither replace nor change what other callers' code uses. The engine evaluates this file
// once, after the prelude and before any shipped code.
//
// Freezing a prototype has a side effect, the "override mistake": code can then not assign an inherited name on its own
// object (`point.toString = …`). So the properties of prototypes and constructors become accessors first, whose setter
// defines the name on the object that is assigned to. The approach is that of SES (Agoric), "enablements".
(function (config) {
  'use strict';
  const { ownKeys, getOwnPropertyDescriptor, getPrototypeOf, defineProperty } = Reflect;
  const { freeze, isFrozen } = Object;
  const { TypeError, String, Error } = globalThis;
  const { distribution } = globalThis;

  // ---- everything that code did not make ----

  const found = new Set([globalThis, distribution]);
  const queue = [];
  const visit = (value) => {
    if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return;
    if (found.has(value)) return;
    found.add(value);
    queue.push(value);
  };
  const visitMembers = (object) => {
    for (const key of ownKeys(object)) {
      const { value, get, set } = getOwnPropertyDescriptor(object, key);
      visit(value);
      visit(get);
      visit(set);
    }
  };
  visitMembers(globalThis);
  visit(config);
  visit(distribution.util);
  visit(distribution.node);
  // intrinsics that no global name leads to
  const inherited = [
    function* () {}, async () => {}, async function* () {}, [][Symbol.iterator](), new Map().entries(), new Set().values(),
    ''[Symbol.iterator](), 'a'.matchAll(/a/g), (function* () {})(), (async function* () {})(),
  ];
  if (typeof Iterator === 'function') {
    inherited.push([].values().map((x) => x), Iterator.from({ next() { return { done: true }; } }));
  }
  for (const value of inherited) visit(getPrototypeOf(value));
  while (queue.length > 0) {
    const object = queue.pop();
    visitMembers(object);
    visit(getPrototypeOf(object));
  }

  // ---- names that code may assign on its own objects ----

  // the values behind the accessors, by getter
  const values = new WeakMap();
  const { get: valueOf, set: setValue, has: hasValue } = WeakMap.prototype;
  const { apply } = Reflect;
  const enable = (object, key, value) => {
    // methods, because functions made this way have no prototype that would have to be frozen
    const accessor = {
      get() { return value; },
      set(next) {
        if (this === object || (typeof this !== 'object' && typeof this !== 'function')) {
          throw new TypeError(`${String(key)} belongs to the language and cannot be replaced`);
        }
        if (!defineProperty(this, key, { value: next, writable: true, enumerable: true, configurable: true })) {
          throw new TypeError(`${String(key)} cannot be set on this object`);
        }
      },
    };
    apply(setValue, values, [accessor.get, value]);
    freeze(accessor.get);
    freeze(accessor.set);
    const { enumerable } = getOwnPropertyDescriptor(object, key);
    defineProperty(object, key, { ...accessor, enumerable, configurable: false });
  };
  const parents = new Set();
  for (const object of found) {
    const prototype = typeof object === 'function' ? getOwnPropertyDescriptor(object, 'prototype') : undefined;
    if (prototype && found.has(prototype.value)) {
      parents.add(object);
      parents.add(prototype.value);
    }
    const parent = getPrototypeOf(object);
    if (parent !== null && found.has(parent)) parents.add(parent);
  }
  for (const value of inherited) parents.add(getPrototypeOf(value));
  // code may neither see nor change how errors are described to others
  for (const name of ['prepareStackTrace', 'stackTraceLimit']) {
    if (getOwnPropertyDescriptor(Error, name)) {
      defineProperty(Error, name, { value: undefined, writable: false, enumerable: false, configurable: false });
    }
  }
  for (const object of parents) {
    if (object === globalThis || object === distribution) continue;
    for (const key of ownKeys(object)) {
      const own = getOwnPropertyDescriptor(object, key);
      if (own.configurable && own.writable) enable(object, key, own.value);
    }
  }

  // ---- the locks ----

  for (const object of found) {
    if (object !== globalThis && object !== distribution && !isFrozen(object)) freeze(object);
  }
  for (const key of ownKeys(globalThis)) {
    const own = getOwnPropertyDescriptor(globalThis, key);
    if (!own.configurable) continue;
    defineProperty(globalThis, key, 'value' in own ? { writable: false, configurable: false } : { configurable: false });
  }

  // returns the value behind a getter that was made here, as an array, so that the host need not call the getter
  return (getter) => {
    if (typeof getter !== 'function' || !apply(hasValue, values, [getter])) return [];
    return [apply(valueOf, values, [getter])];
  };
})
