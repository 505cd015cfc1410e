// Decodes many files, for tests that compare with another decoder: `node decode_files.mjs DECODER JOBS [RUNTIME ORT]`.
//
// JOBS is a JSON file: a list of {file, model, out, options}. A line of JSON is printed for each: what the picture is,
// and by tile the checksums of its phases, or the error; `out` gets the numbers of the picture. RUNTIME and ORT are the
// entry for ONNX Runtime and that itself, for the graphs of real numbers.
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [decoder, jobs, entry, ort] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(path).href);
const { AezError, decode } = await load(decoder);
const runtime = entry && new (await load(entry)).OnnxRuntime(await load(ort), { executionProviders: ["wasm"] });
const models = new Map();
for (const { file, model, out, options } of JSON.parse(await readFile(jobs, "utf8"))) {
  if (model && !models.has(model)) models.set(model, await readFile(model));
  const phases = {};
  const onPhase = (tile, checksum) => {
    phases[tile] ??= [];
    phases[tile].push(checksum.toString(16).padStart(8, "0"));
  };
  try {
    const given = { model: models.get(model), onPhase, stored: true, ...(runtime && { runtime }), ...options };
    const picture = await decode(await readFile(file), given);
    const { width, height, channels, data } = picture;
    await writeFile(out, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    console.log(JSON.stringify({ width, height, channels, type: data.constructor.name, phases }));
  } catch (error) {
    if (!(error instanceof AezError)) console.error(error);
    console.log(
      JSON.stringify({ error: error.name, code: error instanceof AezError ? error.code : -1, says: error.message }),
    );
  }
}
