// Makes redact.wasm of redact.js: `npm ci --ignore-scripts && node build.mjs`.
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } = await componentize({
  sourcePath: resolve('redact.js'),
  witPath: resolve(process.env.INFWASI ?? '../..', 'wit'), // of infwasi
  worldName: 'inference-component',
  // All of them: the component imports no WASI, because it would be refused.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile('redact.wasm', component);
