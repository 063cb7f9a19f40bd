// A node of the JavaScript reference: node peer.js --ip 127.0.0.1 --port PORT. Prints its address as JSON when it is up.
const distribution = require('./reference.js');

distribution.node.start((error) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  const {ip, port} = distribution.node.config;
  console.log(JSON.stringify({ip, port, sid: distribution.util.id.getSID(distribution.node.config)}));
});
