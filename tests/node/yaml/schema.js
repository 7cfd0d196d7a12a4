// Validates YAML files against a JSON Schema: prints a JSON object of each file's name and its mistakes.
//
// usage: node schema.js SCHEMA FILE…
'use strict';
const fs = require('fs');
const Ajv = require('ajv').default ?? require('ajv');
const yaml = require('yaml');

const [schema, ...files] = process.argv.slice(2);
const validate = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(JSON.parse(fs.readFileSync(schema, 'utf8')));
const found = {};
for (const file of files) {
  validate(yaml.parse(fs.readFileSync(file, 'utf8')));
  found[file] = (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}
console.log(JSON.stringify(found));
