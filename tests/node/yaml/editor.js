// Plays an editor: starts the YAML language server over stdio, opens texts whose modeline names a schema, and prints a line of JSON for
// each: the diagnostics, the completions at the mark `‸`, or what is shown at it.
//
// usage: node editor.js FOLDER < a JSON list of { name, ask: "diagnostics" | "completion" | "hover", text }
'use strict';
const fs = require('fs');
const path = require('path');
const { spawn } = require('child_process');
const { pathToFileURL } = require('url');

const folder = process.argv[2];
const cases = JSON.parse(fs.readFileSync(0, 'utf8'));
const packages = process.env.NODE_PATH;
const server = spawn(process.execPath, [path.join(packages, 'yaml-language-server/bin/yaml-language-server'), '--stdio'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});

let buffer = Buffer.alloc(0);
let last = 0;
const waiting = new Map();
const diagnostics = new Map();
const send = (message) => {
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
  server.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
  server.stdin.write(body);
};
const request = (method, params) =>
  new Promise((resolve, reject) => {
    last += 1;
    waiting.set(last, { resolve, reject });
    send({ id: last, method, params });
  });
const notify = (method, params) => send({ method, params });
const settings = { yaml: { validate: true, completion: true, hover: true, schemaStore: { enable: false }, format: { enable: false } } };

const receive = (message) => {
  if (message.method === undefined) {
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message));
    else resolve(message.result);
  } else if (message.method === 'textDocument/publishDiagnostics') {
    diagnostics.get(message.params.uri)?.(message.params.diagnostics);
  } else if (message.method === 'workspace/configuration') {
    send({ id: message.id, result: message.params.items.map((item) => settings[item.section] ?? {}) });
  } else if (message.id !== undefined) {
    send({ id: message.id, result: null });
  }
};
server.stdout.on('data', (chunk) => {
  buffer = Buffer.concat([buffer, chunk]);
  for (;;) {
    const end = buffer.indexOf('\r\n\r\n');
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, end).toString())[1]);
    if (buffer.length < end + 4 + length) return;
    const body = buffer.subarray(end + 4, end + 4 + length).toString();
    buffer = buffer.subarray(end + 4 + length);
    receive(JSON.parse(body));
  }
});

const main = async () => {
  const root = pathToFileURL(folder).href;
  await request('initialize', {
    processId: process.pid,
    rootUri: root,
    workspaceFolders: [{ uri: root, name: 'fleet' }],
    capabilities: {
      workspace: { configuration: true, workspaceFolders: true },
      textDocument: { publishDiagnostics: {}, completion: { completionItem: { snippetSupport: true } }, hover: { contentFormat: ['markdown'] } },
    },
  });
  notify('initialized', {});
  notify('workspace/didChangeConfiguration', { settings });
  for (const { name, ask, text } of cases) {
    const uri = pathToFileURL(path.join(folder, name)).href;
    const mark = text.indexOf('‸');
    const whole = text.replace('‸', '');
    const before = text.slice(0, Math.max(mark, 0)).split('\n');
    const position = { line: before.length - 1, character: before[before.length - 1].length };
    const published = new Promise((resolve) => diagnostics.set(uri, resolve));
    notify('textDocument/didOpen', { textDocument: { uri, languageId: 'yaml', version: 1, text: whole } });
    const marks = await published;
    let answer;
    if (ask === 'diagnostics') {
      answer = marks.map(({ range, message }) => `${range.start.line + 1}:${range.start.character + 1} ${message}`);
    } else if (ask === 'completion') {
      const found = await request('textDocument/completion', { textDocument: { uri }, position });
      answer = (found.items ?? found).map((item) => item.label).sort();
    } else {
      const hover = await request('textDocument/hover', { textDocument: { uri }, position });
      answer = hover?.contents?.value ?? null;
    }
    console.log(JSON.stringify({ name, answer }));
  }
  await request('shutdown', null);
  notify('exit');
};
main().catch((error) => {
  console.error(error);
  server.kill();
  process.exitCode = 1;
});
