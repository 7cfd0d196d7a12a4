// Reads a YAML file with js-yaml, and says how many devices it has.

'use strict';

const fs = require('fs');
const yaml = require('js-yaml');

console.log(Object.keys(yaml.load(fs.readFileSync(process.argv[2], 'utf8')).devices).length);
