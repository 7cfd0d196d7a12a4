// Messages from the cloud to a device, and their feedback: Microsoft's service SDK for Node over AMQP, its device SDK over MQTT.
// Prints one line of JSON a step, which the test compares.
//
// Arguments: the hub's address for devices, with its port, and the way to send: amqp or amqp-ws. IOTHUB_CONNECTION_STRING is the
// owner's, DEVICE_POLICY_CONNECTION_STRING that of a policy which may not send.

'use strict';

const service = require('azure-iothub');
const { Amqp } = require('azure-iothub/dist/amqp.js');
const { AmqpWs } = require('azure-iothub/dist/amqp_ws.js');
const { Message } = require('azure-iot-common');
const device = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { run, show } = require('./steps.js');

const [mqtt, way] = process.argv.slice(2);
const transport = way === 'amqp-ws' ? AmqpWs : Amqp;

function refusal(error) {
  return [error.name, error.amqpError ? error.amqpError.condition || error.amqpError.name : null];
}

// What is awaited, one after the other.
function queue() {
  const [there, waiting] = [[], []];
  return {
    put: (item) => (waiting.length > 0 ? waiting.shift()(item) : there.push(item)),
    next: () => new Promise((resolve) => (there.length > 0 ? resolve(there.shift()) : waiting.push(resolve))),
  };
}

function read(message) {
  const properties = {};
  for (let at = 0; at < message.properties.count(); at += 1) {
    const { key, value } = message.properties.getItem(at);
    properties[key] = value;
  }
  const { messageId, correlationId, contentType, contentEncoding } = message;
  return [message.getData().toString(), messageId, correlationId, contentType, contentEncoding, properties];
}

// The device's side: what comes, and takes it.
function listen(client) {
  const messages = queue();
  client.on('message', messages.put);
  return async () => {
    const message = await messages.next();
    await client.complete(message);
    return read(message);
  };
}

async function main() {
  const registry = service.Registry.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING);
  const waiting = async () => (await registry.get('node')).responseBody.cloudToDeviceMessageCount;
  const { symmetricKey } = (await registry.create({ deviceId: 'node' })).responseBody.authentication;

  const client = service.Client.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING, transport);
  await client.open();
  show('open', true);
  const first = new Message('while it is away');
  first.messageId = 'm-1';
  first.ack = 'full';
  await client.send('node', first);
  show('waiting', await waiting());

  const back = device.Client.fromConnectionString(
    `HostName=${mqtt};DeviceId=node;SharedAccessKey=${symmetricKey.primaryKey}`,
    Mqtt,
  );
  await back.open();
  const next = listen(back);
  show('received', await next());

  const second = new Message(JSON.stringify({ speed: 2 }));
  second.messageId = 'm/2';
  second.correlationId = '9f3c6a1e-3b61-4b0e-9a55-0e3f1c7d2b11';
  second.contentType = 'application/json';
  second.contentEncoding = 'utf-8';
  second.properties.add('line', 'a&b=c/d é');
  await client.send('node', second);
  show('with properties', await next());
  await back.close();

  const third = new Message('too late');
  third.messageId = 'm-3';
  third.ack = 'negative';
  third.expiryTimeUtc = Date.now() + 100;
  await client.send('node', third);

  const feedback = await new Promise((resolve, reject) =>
    client.getFeedbackReceiver((error, receiver) => (error ? reject(error) : resolve(receiver))),
  );
  const told = [];
  const outcomes = queue();
  feedback.on('message', (message) => {
    for (const record of JSON.parse(message.getData().toString())) {
      outcomes.put([record.originalMessageId, record.statusCode, record.deviceId, message.contentType]);
    }
  });
  for (let count = 0; count < 2; count += 1) told.push(await outcomes.next());
  show('feedback', told);

  for (let count = 0; count < 50; count += 1) await client.send('node', 'waits');
  show('one too many', await client.send('node', 'does not fit').then(() => 'sent', refusal));
  show('to nobody', await client.send('nobody', 'hello').then(() => 'sent', refusal));
  show('too large', await client.send('node', 'x'.repeat(70_000)).then(() => 'sent', refusal));
  await client.close();
  show('closed', true);

  const others = service.Client.fromConnectionString(process.env.IOTHUB_CONNECTION_STRING, transport);
  // The SDK takes the connection down with a link that is refused.
  await others.open();
  const refused = new Promise((resolve) => others.on('disconnect', ({ reason }) => resolve(reason.condition)));
  others.getFileNotificationReceiver(() => {});
  show('file notifications', await refused);

  const strangers = service.Client.fromConnectionString(process.env.DEVICE_POLICY_CONNECTION_STRING, transport);
  show('by another policy', await strangers.open().then(() => 'open', refusal));
}

run(main);
