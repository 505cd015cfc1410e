// A model as a module: `node scripts/model.mjs MODEL.aezm OUT.js`. Of a codec a half is enough: `aez models export NAME
// --decoder` writes that which decodes, `--encoder` that which encodes.
//
// The bytes are deflated and then text, so that the module is as small on a server that compresses nothing as text can
// be, and every bundler, worker and file system takes it: there is no second file to be found at run time.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { build } from "esbuild";

const [half, out] = process.argv.slice(2);
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const contents = 'export { Bundle } from "./src/bundle/bundle.js"; export { sha256 } from "./src/bundle/sha256.js";';
const reader = join(home, "build", "bundle.mjs");
await build({ stdin: { contents, resolveDir: home }, bundle: true, format: "esm", outfile: reader });
const { Bundle, sha256 } = await import(reader);
const bytes = await readFile(half);
const { id, name } = new Bundle(sha256, new Uint8Array(bytes), null, true);
const packed = deflateRawSync(bytes, { level: 9 }).toString("base64");
await writeFile(out, `export default ${JSON.stringify({ id, name, size: bytes.length, packed })};\n`);
