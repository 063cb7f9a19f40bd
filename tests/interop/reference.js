// Loads the JavaScript reference so that many of its nodes can start at once. At its first start, the reference checks
// whether its folder `store` exists and then creates it. If several started at once, all but one would fail.
const fs = require('fs');
const path = require('path');

const program = require.resolve('@brown-ds/distribution');
fs.mkdirSync(path.join(path.dirname(program), 'store'), {recursive: true});

module.exports = require(program)();
