// A device by Microsoft's Node SDK. Prints one line of JSON a step, which the test compares; the test is the back end, and acts
// when it reads the steps "listening" and "ready".
//
// Arguments: the device's connection string, the file with what it trusts, and the transport: mqtt or mqtt-ws.

'use strict';

const fs = require('fs');
const { Client, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { report, run, show } = require('./steps.js');

const [connectionString, caFile, transport] = process.argv.slice(2);

// Turns a callback into a promise.
function once(register) {
  return new Promise((resolve) => register(resolve));
}

async function main() {
  const client = Client.fromConnectionString(connectionString, transport === 'mqtt-ws' ? MqttWs : Mqtt);
  client.on('error', (error) => show('error', error.message));
  await client.setOptions({ ca: fs.readFileSync(caFile, 'utf8') });
  await client.open();
  show('open', true);

  const twin = await client.getTwin();
  show('twin', { desired: twin.properties.desired, reported: JSON.parse(JSON.stringify(twin.properties.reported)) });
  show('reported', await report(twin, { connectivity: 'cellular' }));
  show('bad patch', await report(twin, { 'a.b': 1 }));

  // The first event has what is there already; it may come before the subscription stands, which the back end has to wait for.
  const seen = [];
  let more = () => {};
  const patched = once((resolve) => (more = resolve));
  await once((resolve) => {
    twin.on('properties.desired', (patch) => {
      seen.push(patch);
      if (seen.length === 1) resolve();
      if (seen.length === 2) more();
    });
  });
  await once((resolve) => twin.enableTwinDesiredPropertiesUpdates(resolve));
  show('listening', seen[0]);
  await patched;
  show('patch', seen[1]);

  const called = once((resolve) => {
    client.onDeviceMethod('reboot', (request, response) => {
      response.send(207, { called: request.methodName, with: request.payload }, () => resolve());
    });
  });
  show('ready', true);
  await called;

  await client.sendEvent(new Message('telemetry'));
  show('telemetry', 'acknowledged');
  await client.close();
  show('closed', true);
}

run(main, 60000);
