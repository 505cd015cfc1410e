// Scores pictures by ONNX Runtime: `node score_pictures.mjs RUNTIME ORT JOBS.json`. A line of JSON for each job: {model,
// file, width, height}; the file is red, green, blue and alpha.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [entry, ort, jobs] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(path).href);
const { OnnxRuntime } = await load(entry);
const runtime = new OnnxRuntime(await load(ort), { executionProviders: ["wasm"] });
for (const { model, file, width, height } of JSON.parse(readFileSync(jobs, "utf8"))) {
  let out;
  try {
    const detector = await runtime.pictureDetector(readFileSync(model));
    const picture = { width, height, data: new Uint8Array(readFileSync(file)) };
    const { score, errorMap, reconstruction } = await detector.score(picture);
    const prepared = [...detector.prepare(picture)];
    out = { id: detector.id, score, errorMap: [...errorMap], reconstruction: [...reconstruction], prepared };
  } catch (error) {
    out = { error: error.name, code: error.code ?? -1, says: error.message };
  }
  console.log(JSON.stringify(out));
}
await runtime.close();
