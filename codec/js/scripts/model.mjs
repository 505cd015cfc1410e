#!/usr/bin/env node
// A model as a module: `aez-model MODEL.aezm OUT.js`. Of a codec a half is enough: `aez models export NAME --decoder`
// writes that which decodes, `--encoder` that which encodes.
//
// The bytes are deflated and then text, so that the module is as small on a server that compresses nothing as text can
// be, and every bundler, worker and file system takes it: there is no second file to be found at run time. Beside it
// TypeScript finds its type.
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { deflateRawSync } from "node:zlib";
import { AezError, InvalidArgument, internals } from "../dist/aez.js";

const TYPE =
  'import type { PackedModel } from "aez-codec";\ndeclare const model: PackedModel;\nexport default model;\n';
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function write(model, out) {
  const name = /^(.*)\.(m?)js$/.exec(out ?? "");
  if (!name) throw new InvalidArgument("usage: aez-model MODEL.aezm OUT.js (or OUT.mjs)");
  const bytes = await readFile(model);
  const bundle = new internals.Bundle(sha256, new Uint8Array(bytes), null, true);
  const packed = deflateRawSync(bytes, { level: 9 }).toString("base64");
  const made = { id: bundle.id, name: bundle.name, size: bytes.length, packed };
  await writeFile(`${name[1]}.d.${name[2]}ts`, TYPE);
  await writeFile(out, `export default ${JSON.stringify(made)};\n`);
}

try {
  await write(...process.argv.slice(2));
} catch (error) {
  if (!(error instanceof AezError || error.syscall)) throw error;
  console.error(`aez-model: ${error.message}`);
  process.exitCode = error instanceof AezError ? error.code : 2;
}
