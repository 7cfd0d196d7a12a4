// The calls of Microsoft's service SDK for Node that the embedded hub claims, one after another.
//
// Takes the owner's connection string from IOTHUB_CONNECTION_STRING; its host has no port, since the SDK knows no port but 443.
// Arguments: where devices reach the hub over MQTT, for the one that answers direct methods, and a URI that opens a container
// of a storage account, for imports and exports. Prints one line of JSON a step, which the test compares.

'use strict';

const assert = require('assert');
const { Client, DigitalTwinClient, IoTHubTokenCredentials, JobClient, Registry } = require('azure-iothub');
const device = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { run, show } = require('./steps.js');

const [mqttAddress, container] = process.argv.slice(2);
const connectionString = process.env.IOTHUB_CONNECTION_STRING;
const registry = Registry.fromConnectionString(connectionString);
const jobs = JobClient.fromConnectionString(connectionString);
const client = Client.fromConnectionString(connectionString);
const KEY_1 = Buffer.from(Array.from({ length: 32 }, (_, at) => at)).toString('base64');
const KEY_2 = Buffer.from(Array.from({ length: 32 }, (_, at) => at + 32)).toString('base64');

function plain(section) {
  return Object.fromEntries(Object.entries(section).filter(([key]) => !key.startsWith('$')));
}

// What an answer says: the SDK hands it out beside the response, by one of two names.
function body(answer) {
  return 'responseBody' in answer ? answer.responseBody : answer.result;
}

// The class that the SDK makes of a refusal, and what the hub said.
async function refused(step, call) {
  try {
    await call();
    show(step, 'done');
  } catch (error) {
    assert(error.response, error.stack);
    show(step, [error.name, error.response.statusCode, error.response.headers['iothub-errorcode']]);
  }
}

async function eventually(ask, holds) {
  const deadline = Date.now() + 30000;
  for (;;) {
    const found = await ask();
    if (holds(found) || Date.now() > deadline) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function identities() {
  const created = body(
    await registry.create({
      deviceId: 'node-1',
      status: 'enabled',
      authentication: { symmetricKey: { primaryKey: KEY_1, secondaryKey: KEY_2 } },
    }),
  );
  show('created', [created.deviceId, created.status, created.authentication.type, created.connectionState]);
  show('keys kept', created.authentication.symmetricKey.primaryKey === KEY_1);
  await refused('created twice', () => registry.create({ deviceId: 'node-1' }));
  const generated = body(await registry.create({ deviceId: 'node#2', status: 'disabled', statusReason: 'spare part' }));
  show('keys generated', Buffer.from(generated.authentication.symmetricKey.primaryKey, 'base64').length);
  const thumbprints = { primaryThumbprint: 'A'.repeat(40), secondaryThumbprint: 'B'.repeat(40) };
  const x509 = body(await registry.create({ deviceId: "node-3!'()*", authentication: { x509Thumbprint: thumbprints } }));
  show('x509', [x509.deviceId, x509.authentication.type, x509.authentication.x509Thumbprint.primaryThumbprint]);

  const found = body(await registry.get('node#2'));
  show('found', [found.deviceId, found.status, found.statusReason, found.etag === generated.etag]);
  await refused('get of nobody', () => registry.get('nobody'));
  const updated = body(await registry.update({ ...found, status: 'enabled', statusReason: 'repaired' }));
  show('updated', [updated.status, updated.statusReason, updated.etag !== found.etag]);
  await refused('update of nobody', () => registry.update({ deviceId: 'nobody' }));
  show('listed', body(await registry.list()).map((it) => it.deviceId));
  const { totalDeviceCount, enabledDeviceCount, disabledDeviceCount } = body(await registry.getRegistryStatistics());
  show('statistics', [totalDeviceCount, enabledDeviceCount, disabledDeviceCount]);
  await registry.delete("node-3!'()*");
  await refused('deleted twice', () => registry.delete("node-3!'()*"));
}

async function bulk() {
  const result = async (call) => {
    const { isSuccessful, errors, warnings } = body(await call);
    return [isSuccessful, errors.length, warnings.length];
  };
  show('bulk add', await result(registry.addDevices([{ deviceId: 'bulk-1' }, { deviceId: 'bulk-2', status: 'disabled' }])));
  await refused('bulk add twice', () => registry.addDevices([{ deviceId: 'bulk-1' }, { deviceId: 'bulk-3' }]));
  show('the other one is there', body(await registry.get('bulk-3')).deviceId);
  const forced = [{ deviceId: 'bulk-1', status: 'disabled', statusReason: 'bulk' }];
  show('bulk update', await result(registry.updateDevices(forced, true)));
  const first = body(await registry.get('bulk-1'));
  show('updated in bulk', [first.status, first.statusReason]);
  const known = [{ deviceId: 'bulk-1', status: 'enabled', eTag: first.etag }];
  show('bulk update under the etag', await result(registry.updateDevices(known, false)));
  await refused('bulk update under a stale etag', () => registry.updateDevices(known, false));
  await refused('bulk remove under a stale etag', () =>
    registry.removeDevices([{ deviceId: 'bulk-1', eTag: first.etag }], false),
  );
  const all = ['bulk-1', 'bulk-2', 'bulk-3'].map((deviceId) => ({ deviceId }));
  show('bulk remove', await result(registry.removeDevices(all, true)));
  show('left', body(await registry.list()).map((it) => it.deviceId));
}

async function twins() {
  const twin = body(await registry.getTwin('node-1'));
  show('fresh twin', [twin.deviceId, twin.etag, twin.tags, plain(twin.properties.desired)]);
  const stale = twin.etag;
  await twin.update({ tags: { plant: 'A', floor: { hall: 1 } }, properties: { desired: { mode: 'eco', levels: [1, 2] } } });
  show('twin.update', [twin.tags, plain(twin.properties.desired), twin.properties.desired.$version, twin.etag !== stale]);
  await twin.update({ tags: { floor: null }, properties: { desired: { levels: null } } });
  show('nulls remove', [twin.tags, plain(twin.properties.desired)]);
  await twin.get();
  show('twin.get', [twin.tags, twin.properties.desired.$version]);
  await refused('twin of nobody', () => registry.getTwin('nobody'));
  await refused('stale etag', () => registry.updateTwin('node-1', { tags: { plant: 'B' } }, stale));
  await refused('key with a dot', () => registry.updateTwin('node-1', { tags: { 'a.b': 1 } }, '*'));
  const forced = body(await registry.updateTwin('node#2', { tags: { plant: 'A' } }, '*'));
  show('under any etag', [forced.deviceId, forced.tags]);
  // Without an etag of its own, `twin.update` sends `*`.
  await registry.updateTwin('node-1', JSON.stringify({ tags: { plant: 'A', line: 7 } }), '*');
  show('a patch as text', body(await registry.getTwin('node-1')).tags);
}

async function modules() {
  const added = body(await registry.addModule({ deviceId: 'node-1', moduleId: 'm-1', managedBy: 'somebody' }));
  show('module added', [added.deviceId, added.moduleId, added.managedBy, added.authentication.type]);
  await refused('module added twice', () => registry.addModule({ deviceId: 'node-1', moduleId: 'm-1' }));
  await registry.addModule({ deviceId: 'node-1', moduleId: 'm-2' });
  show('modules', body(await registry.getModulesOnDevice('node-1')).map((it) => it.moduleId));
  const found = body(await registry.getModule('node-1', 'm-1'));
  show('module', [found.moduleId, found.etag === added.etag]);
  await refused('module of nobody', () => registry.getModule('node-1', 'nobody'));
  const updated = body(await registry.updateModule({ ...found, managedBy: 'another' }));
  show('module updated', [updated.managedBy, updated.etag !== found.etag]);
  await refused('module updated under a stale etag', () => registry.updateModule({ ...found, managedBy: 'x' }));
  show('module updated by force', body(await registry.updateModule({ ...found, managedBy: 'x' }, true)).managedBy);

  const twin = body(await registry.getModuleTwin('node-1', 'm-1'));
  show('module twin', [twin.deviceId, twin.moduleId, plain(twin.properties.desired)]);
  await twin.update({ properties: { desired: { interval: 5 } } });
  show('module twin.update', [plain(twin.properties.desired), twin.properties.desired.$version]);
  const again = body(await registry.updateModuleTwin('node-1', 'm-1', { tags: { kind: 'probe' } }, twin.etag));
  show('updateModuleTwin', again.tags);
  await refused('module twin under a stale etag', () => registry.updateModuleTwin('node-1', 'm-1', { tags: {} }, twin.etag));
  await refused('module twin of nobody', () => registry.getModuleTwin('node-1', 'nobody'));
  const rows = body(await registry.createQuery("SELECT * FROM devices.modules WHERE tags.kind = 'probe'").nextAsTwin());
  show('modules by query', rows.map((it) => [it.deviceId, it.moduleId]));

  await registry.removeModule('node-1', 'm-2');
  // With a module's object, and so with its etag, the SDK takes a callback only.
  const remove = (module) =>
    new Promise((resolve, reject) => registry.removeModule(module, (error) => (error ? reject(error) : resolve())));
  await refused('module removed under a stale etag', () => remove(found));
  await remove(body(await registry.getModule('node-1', 'm-1')));
  show('modules left', body(await registry.getModulesOnDevice('node-1')));
}

async function queries() {
  const pages = async (query) => {
    const found = [];
    while (query.hasMoreResults) found.push(body(await query.nextAsTwin()).map((it) => it.deviceId));
    return found;
  };
  show('pages', await pages(registry.createQuery('SELECT * FROM devices', 1)));
  show('where', await pages(registry.createQuery("SELECT * FROM devices WHERE tags.plant = 'A'", 100)));
  show('nobody', await pages(registry.createQuery("SELECT * FROM devices WHERE tags.plant = 'Z'", 100)));
  // Twins of a query write as others do.
  const [twin] = body(await registry.createQuery('SELECT * FROM devices').nextAsTwin());
  await twin.update({ tags: { found: true } });
  show('written after a query', body(await registry.getTwin(twin.deviceId)).tags.found);
  const count = await registry.createQuery('SELECT COUNT() AS n FROM devices').next();
  show('count', body(count));
  show('item type', count.message.headers['x-ms-item-type']);
  await refused('no query', () => registry.createQuery('SELECT FROM').next());
}

async function configurations() {
  const configuration = {
    id: 'node-eco',
    labels: { by: 'node' },
    content: { deviceContent: { 'properties.desired.eco': { level: 3 } } },
    targetCondition: "tags.plant = 'A'",
    priority: 10,
    metrics: { queries: { eco: "SELECT deviceId FROM devices WHERE properties.desired.eco.level = 3" } },
  };
  const added = body(await registry.addConfiguration(configuration));
  show('configuration added', [added.id, added.priority, added.targetCondition, added.content]);
  await refused('configuration added twice', () => registry.addConfiguration(configuration));
  await refused('configuration of tags', () =>
    registry.addConfiguration({ id: 'node-tags', content: { deviceContent: { 'tags.a': 1 } }, targetCondition: '*' }),
  );
  const evaluated = await eventually(
    async () => body(await registry.getConfiguration('node-eco')),
    (it) => (it.systemMetrics.results.appliedCount || 0) === 2 && it.metrics.results.eco === 2,
  );
  show('configuration', [evaluated.systemMetrics.results, evaluated.metrics.results, evaluated.labels]);
  show('configured', body(await registry.getTwin('node#2')).properties.desired.eco);
  show('configurations', body(await registry.getConfigurations()).map((it) => it.id));
  const updated = body(await registry.updateConfiguration({ ...evaluated, priority: 20 }));
  show('configuration updated', [updated.priority, updated.etag !== evaluated.etag]);
  await refused('configuration updated under a stale etag', () => registry.updateConfiguration({ ...evaluated, priority: 30 }));
  show('configuration updated by force', body(await registry.updateConfiguration({ ...evaluated, priority: 30 }, true)).priority);
  await refused('configuration of nobody', () => registry.getConfiguration('nobody'));
  await registry.removeConfiguration('node-eco');
  show('configurations left', body(await registry.getConfigurations()));
}

async function edge() {
  await registry.create({ deviceId: 'gw', capabilities: { iotEdge: true } });
  const modulesContent = {
    $edgeAgent: { 'properties.desired': { schemaVersion: '1.1' } },
    probe: { 'properties.desired': { every: 5 } },
  };
  await registry.applyConfigurationContentOnDevice('gw', { modulesContent });
  show('content applied', body(await registry.getModuleTwin('gw', 'probe')).properties.desired.every);
  show('modules made', body(await registry.getModulesOnDevice('gw')).map((it) => it.moduleId));
  await refused('content on no edge device', () => registry.applyConfigurationContentOnDevice('node-1', { modulesContent }));
  const digital = new DigitalTwinClient(new IoTHubTokenCredentials(connectionString));
  await digital.updateDigitalTwin('gw', [{ op: 'add', path: '/speed', value: 3 }]);
  const { $dtId, $metadata } = await digital.getDigitalTwin('gw');
  show('digital twin', [$dtId, $metadata]);
  await registry.delete('gw');
}

async function scheduledJobs() {
  const over = (id) =>
    eventually(
      () => jobs.getJob(id).then((it) => it.jobStatus),
      (it) => ['completed', 'failed', 'cancelled'].includes(it.status),
    );
  const patch = { etag: '*', tags: { wave: 1 }, properties: { desired: { speed: 9 } } };
  const made = (await jobs.scheduleTwinUpdate('node-job-1', "tags.plant = 'A'", patch, new Date(), 300)).jobStatus;
  show('job', [made.jobId, made.type, ['queued', 'running', 'completed'].includes(made.status)]);
  const done = await over('node-job-1');
  show('job over', [done.status, done.deviceJobStatistics]);
  show('twin after the job', [body(await registry.getTwin('node#2')).tags.wave, body(await registry.getTwin('node-1')).properties.desired.speed]);
  await refused('job twice', () => jobs.scheduleTwinUpdate('node-job-1', '*', patch));
  const each = "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'node-job-1'";
  const rows = await registry.createQuery(each).next();
  show('device jobs', body(rows).map((it) => [it.deviceId, it.jobType, it.status]));

  await jobs.scheduleTwinUpdate('node-job-2', '*', patch, new Date(Date.now() + 3600000), 300);
  // It is queued until the hub has looked at it.
  let coming;
  do {
    coming = (await jobs.getJob('node-job-2')).jobStatus.status;
  } while (coming === 'queued');
  show('job to come', coming);
  const cancelled = await jobs.cancelJob('node-job-2');
  show('cancelled', cancelled.jobStatus.jobId);
  show('job cancelled', (await over('node-job-2')).status);
  await refused('cancelled twice', () => jobs.cancelJob('node-job-2'));
  await refused('cancel of nobody', () => jobs.cancelJob('nobody'));
  show('job of nobody', (await jobs.getJob('nobody')).jobStatus.status);

  const listed = async (...args) => {
    const query = jobs.createQuery(...args);
    const found = [];
    // Without a callback, `next` goes on only from what it is given.
    while (query.hasMoreResults) found.push(...body(await query.next(query.continuationToken)).map((it) => it.jobId));
    return found.sort();
  };
  show('jobs', await listed());
  show('completed jobs', await listed('scheduleUpdateTwin', 'completed'));
  show('jobs one by one', await listed('scheduleUpdateTwin', undefined, 1));
}

async function methods() {
  const call = { methodName: 'reboot', payload: { delay: 5 }, responseTimeoutInSeconds: 30 };
  await refused('method without a device', () => client.invokeDeviceMethod('node-1', call));
  const answering = device.Client.fromConnectionString(
    `HostName=${mqttAddress};DeviceId=node-1;SharedAccessKey=${KEY_1}`,
    Mqtt,
  );
  await answering.open();
  answering.onDeviceMethod('reboot', (request, response) => {
    response.send(207, { called: request.methodName, with: request.payload }, () => {});
  });
  await eventually(
    () => registry.get('node-1'),
    (it) => body(it).connectionState === 'Connected',
  );
  const answered = await client.invokeDeviceMethod('node-1', { ...call, connectTimeoutInSeconds: 20 });
  show('method', answered.result);
  await jobs.scheduleDeviceMethod('node-job-3', "deviceId = 'node-1'", call, new Date(), 300);
  const done = await eventually(
    async () => (await jobs.getJob('node-job-3')).jobStatus,
    (it) => ['completed', 'failed'].includes(it.status),
  );
  show('method by a job', [done.type, done.status, done.deviceJobStatistics]);
  const rows = await registry.createQuery("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'node-job-3'").next();
  show('its outcome', body(rows).map((it) => [it.deviceId, it.status, it.outcome]));
  await answering.close();
}

async function transfers() {
  const over = (id) =>
    eventually(
      () => registry.getJob(id),
      (it) => ['completed', 'failed'].includes(it.status),
    );
  const exported = await registry.exportDevicesToBlob(container, false);
  show('export', [exported.type, exported.jobId.length > 0]);
  show('exported', (await over(exported.jobId)).status);
  const all = body(await registry.list()).map((it) => ({ deviceId: it.deviceId }));
  await registry.removeDevices(all, true);
  const imported = await registry.importDevicesFromBlob(container, container);
  show('imported', (await over(imported.jobId)).status);
  show('back again', body(await registry.list()).map((it) => it.deviceId));
  show('transfers', body(await registry.listJobs()).map((it) => [it.type, it.status]).sort());
  await refused('transfer of nobody', () => registry.getJob('nobody'));
  await refused('cancel of a transfer that is over', () => registry.cancelJob(exported.jobId));
  await refused('export by identity', () => registry.exportDevicesToBlobByIdentity(container, true));
}

async function main() {
  await identities();
  await bulk();
  await twins();
  await modules();
  await queries();
  await configurations();
  await edge();
  await scheduledJobs();
  await methods();
  await transfers();
}

run(main);
