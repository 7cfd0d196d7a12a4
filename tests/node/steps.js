// How the programs of this folder speak to the test that runs them: a line of JSON a step.

'use strict';

function show(step, value) {
  process.stdout.write(JSON.stringify({ step, value }) + '\n');
}

// Sends reported properties, and says whether they were taken.
function report(twin, patch) {
  return new Promise((resolve) => twin.properties.reported.update(patch, (error) => resolve(error ? error.message : 'taken')));
}

// Runs a program to its end. One that hangs tells nobody where, so that it may be given a time.
function run(main, milliseconds) {
  if (milliseconds) {
    setTimeout(() => {
      show('failed', `nothing happened for ${milliseconds / 1000} s`);
      process.exit(1);
    }, milliseconds).unref();
  }
  main().then(
    () => process.exit(0),
    (error) => {
      process.stderr.write((error.stack || String(error)) + '\n');
      show('failed', String(error));
      process.exit(1);
    },
  );
}

module.exports = { report, run, show };
