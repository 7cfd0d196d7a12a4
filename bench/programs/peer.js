// A plan as it is written with Microsoft's service SDK for Node: reads the twins, and counts those that differ.
//
// Takes the connection string from IOTHUB_CONNECTION_STRING; its host has no port, since the SDK knows no port but 443. Arguments:
// what is declared (JSON), the way (get or query), and how many requests at a time, or how many rows a page.

'use strict';

const fs = require('fs');
const { Registry } = require('azure-iothub');

const declared = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const [way, number] = [process.argv[3], Number(process.argv[4])];
const registry = Registry.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function holds(wanted, live) {
  if (isObject(wanted) && isObject(live)) {
    return Object.entries(wanted).every(([key, value]) => key in live && holds(value, live[key]));
  }
  return Array.isArray(wanted) ? JSON.stringify(wanted) === JSON.stringify(live) : wanted === live;
}

function differs(twin) {
  return !holds(declared.tags, twin.tags) || !holds(declared.desired, twin.properties.desired);
}

async function get() {
  let found = 0;
  const rest = declared.ids[Symbol.iterator]();
  async function worker() {
    for (const id of rest) {
      const { responseBody } = await registry.getTwin(id);
      found += Number(differs(responseBody));
    }
  }
  await Promise.all(Array.from({ length: number }, worker));
  return found;
}

async function query() {
  let found = 0;
  const ids = new Set(declared.ids);
  const pages = registry.createQuery('SELECT * FROM devices', number);
  while (pages.hasMoreResults) {
    const { result } = await pages.nextAsTwin();
    found += result.filter((twin) => ids.has(twin.deviceId) && differs(twin)).length;
  }
  return found;
}

(way === 'get' ? get() : query()).then((found) => {
  console.log(found);
  process.exit(0);
});
