// The file that the reference's spawn starts. It starts chinwag instead, with the same arguments.
const {spawnSync} = require('child_process');
const {status} = spawnSync(process.env.CHINWAG, process.argv.slice(2), {stdio: 'inherit'});
process.exit(status === null ? 1 : status);
