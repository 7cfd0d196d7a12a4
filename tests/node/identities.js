// Microsoft's SDKs for Node as others than a device with a key: a back end with an Entra token, a device with a certificate, a
// module; and a device whose hub has no time for it. Prints one line of JSON a step, which the test compares.
//
// Arguments: the host of the service, an Entra token, the host with the port of MQTT, the key of all identities, and the folder
// with ca.pem, device.pem and device-key.pem.

'use strict';

const fs = require('fs');
const path = require('path');
const { Registry } = require('azure-iothub');
const { Client, ModuleClient } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { report, run, show } = require('./steps.js');

const [host, token, mqtt, key, folder] = process.argv.slice(2);
const pem = (name) => fs.readFileSync(path.join(folder, name), 'utf8');

async function connected(client, options) {
  await client.setOptions({ ca: pem('ca.pem'), ...options });
  await client.open();
  return client;
}

async function main() {
  const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3600000 }) };
  const registry = Registry.fromTokenCredential(host, credential);
  show('entra', (await registry.getTwin('node-x509')).responseBody.deviceId);
  await registry.get('node-x509').then(
    () => show('identity', 'read'),
    (error) => show('identity', error.name),
  );

  const byCertificate = Client.fromConnectionString(`HostName=${mqtt};DeviceId=node-x509;x509=true`, Mqtt);
  await connected(byCertificate, { cert: pem('device.pem'), key: pem('device-key.pem') });
  show('certificate', await report(await byCertificate.getTwin(), { by: 'certificate' }));
  await byCertificate.close();

  const module = ModuleClient.fromConnectionString(
    `HostName=${mqtt};DeviceId=node-x509;ModuleId=m;SharedAccessKey=${key}`,
    Mqtt,
  );
  await connected(module, {});
  const twin = await module.getTwin();
  show('module', [twin.properties.desired.$version, await report(twin, { by: 'module' })]);
  await module.close();

  const busy = Client.fromConnectionString(`HostName=${mqtt};DeviceId=busy;SharedAccessKey=${key}`, Mqtt);
  await connected(busy, {});
  const busyTwin = await busy.getTwin();
  show('throttled', await report(busyTwin, { n: 1 }));
  show('failed', await report(busyTwin, { n: 2 }));
  show('then', await report(busyTwin, { n: 3 }));
  await busy.close();
}

run(main, 60000);
