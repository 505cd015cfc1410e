// Encodes many pictures, for tests that compare with another encoder: `node encode_files.mjs ENCODER JOBS`.
//
// JOBS is a JSON file: a list of {file, width, height, model, out, options}; files are red, green, blue and alpha. A line
// of JSON is printed for each: {} or the error; `out` gets the file.
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [encoder, jobs] = process.argv.slice(2);
const { encode } = await import(pathToFileURL(encoder).href);
const models = new Map();
for (const { file, width, height, model, out, options } of JSON.parse(await readFile(jobs, "utf8"))) {
  if (!models.has(model)) models.set(model, await readFile(model));
  try {
    const data = new Uint8Array(await readFile(file));
    await writeFile(out, await encode({ width, height, data }, { model: models.get(model), ...options }));
    console.log("{}");
  } catch (error) {
    if (!error.code) console.error(error);
    console.log(JSON.stringify({ error: error.name, code: error.code ?? -1, says: error.message }));
  }
}
