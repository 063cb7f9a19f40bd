// The JavaScript reference, loaded so that many of its nodes can start at once. It makes its folder `store` on its first
// start, by asking whether there is one and then making it: of several that start together all but one would end.
const fs = require('fs');
const path = require('path');

const program = require.resolve('@brown-ds/distribution');
fs.mkdirSync(path.join(path.dirname(program), 'store'), {recursive: true});

module.exports = require(program)();
