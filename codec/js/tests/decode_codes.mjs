// Decodes codes: `node decode_codes.mjs DIST JOBS.json`. A line of JSON for each job: {model, items}, with what is coded.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [dist, jobs] = process.argv.slice(2);
const { Autoencoder } = await import(pathToFileURL(dist).href);
for (const { model, items } of JSON.parse(readFileSync(jobs, "utf8"))) {
  let out;
  try {
    const autoencoder = new Autoencoder(readFileSync(model));
    const codes = items.map((item) => [...autoencoder.encode(item)]);
    const decoded = codes.map((code) => [...autoencoder.decode(code)]);
    const rgba = autoencoder.kind === "pictures" ? [...autoencoder.rgba(decoded[0])] : null;
    const { kind, shape, dimensions, hasPrior, id } = autoencoder;
    out = { kind, shape, dimensions, hasPrior, id, codes, decoded, rgba };
  } catch (error) {
    out = { error: error.name, code: error.code, says: error.message };
  }
  console.log(JSON.stringify(out));
}
