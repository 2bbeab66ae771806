// Real Socket.IO clients, put through everything that they can do with a server that behaves as `stage.cjs`:
// `node client.cjs socket.io-client[-1|-2|-3] polling|websocket|upgrade npm|rowcast|rows URL URL_WITH_RECOVERY [WORD]`. Only the scenarios about
// recovery use the second URL. `rows` are other scenarios, for a `rowcast serve`. A word picks the scenarios that have it in their name.
// Prints `ok` or `not ok` with a name for each scenario, and ends with 1 when one has failed.
'use strict';

const assert = require('node:assert/strict');
const { Company } = require('./company.cjs');

async function main() {
  const [name, transport, server, plain, recovering, word = ''] = process.argv.slice(2);
  assert.ok(recovering, 'usage: node client.cjs CLIENT polling|websocket|upgrade npm|rowcast|rows URL URL_WITH_RECOVERY [WORD]');
  const scenarios = require(server === 'rows' ? './rows.cjs' : './scenarios.cjs');
  let failed = 0;
  for (const [title, { since = 1, recovery = false, run }] of Object.entries(scenarios)) {
    const company = new Company(name, transport, server, recovery ? recovering : plain);
    // A server that keeps offsets adds one to each event, as its last argument.
    company.offsets = recovery;
    if (company.major < since || !title.includes(word)) continue;
    try {
      await run(company);
      console.log(`ok - ${title}`);
    } catch (error) {
      failed += 1;
      console.log(`not ok - ${title}\n${error.stack}`);
    } finally {
      company.close();
    }
  }
  process.exit(failed === 0 ? 0 : 1);
}

main();
