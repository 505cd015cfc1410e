// ONNX Runtime for the graphs of real numbers: what callers see. That pixels and scores are aez's is held by
// tests/codec/js.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { decode, InvalidArgument, internals, ModelError } from "../src/index.js";
import { OnnxRuntime, type Ort } from "../src/onnxruntime/index.js";
import { Pool } from "../src/worker/index.js";

const golden = join(import.meta.dirname ?? ".", "..", "..", "..", "..", "tests", "codec", "golden");
const read = (name: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(join(golden, name)));
const tiles = read("learned_tiles.aez");
const model = read("golden.aezm");
const expected = await decode(tiles, { model });
const wasm = { executionProviders: ["wasm"] };

test("a picture, alone and two at once, by decode and by a pool, with parts of it", async () => {
  const runtime = new OnnxRuntime(ort, wasm);
  const found = await Promise.all([decode(tiles, { model, runtime }), decode(tiles, { model, runtime })]);
  const pool = new Pool();
  found.push(await pool.decode(tiles, { model, runtime }));
  for (const { data } of found) assert.ok(data.every((level, at) => Math.abs(level - Number(expected.data[at])) <= 1));
  for (const options of [{ region: [16, 16, 40, 30] as const }, { scale: 8 }]) {
    const [one, other] = [
      await decode(tiles, { model, ...options }),
      await decode(tiles, { model, runtime, ...options }),
    ];
    assert.equal(one.data.length, other.data.length);
    assert.ok(one.data.every((level, at) => Math.abs(Number(level) - Number(other.data[at])) <= 1));
  }
  assert.deepEqual((await decode(tiles, { model })).data, expected.data, "what the kernels give without it stays");
  pool.close();
  await runtime.close();
  await assert.rejects(decode(tiles, { model, runtime }), new InvalidArgument("this runtime is closed"));
});

test("a graph by itself: what it takes, and what it refuses", async () => {
  const runtime = new OnnxRuntime(ort, wasm);
  const synthesis = await internals.withKernels(async (kernels) =>
    new internals.Bundle(await kernels, model).graph("synthesis"),
  );
  const graph = await runtime.graph(synthesis, "synthesis");
  assert.deepEqual([...graph.inputs].sort(), ["level", "y"]);
  const y = { shape: [1, 8, 4, 4], data: new Float32Array(128) };
  await assert.rejects(graph.run({ y }), new InvalidArgument("the synthesis graph takes level, too"));
  const level = { shape: [1], data: Float32Array.of(900) };
  await assert.rejects(graph.run({ y: { ...y, shape: [1, 4, 4, 4] }, level }), { name: "UnsupportedInput", code: 5 });
  await assert.rejects(runtime.graph(new Uint8Array(90)), { name: "ModelError", code: 4 });
  await assert.rejects(runtime.pictureDetector(model), new ModelError("model golden is no detector of pictures"));
  await runtime.close();
});

test("what is no ONNX Runtime, does not start, or computes something else", async () => {
  for (const given of [null, {}, ort.env]) {
    assert.throws(() => new OnnxRuntime(given as unknown as Ort), { name: "InvalidArgument", code: 2 });
  }
  // Node has no graphics processor for it.
  const absent = new OnnxRuntime(ort, { executionProviders: ["webgpu"] });
  await assert.rejects(decode(tiles, { model, runtime: absent }), {
    name: "UnsupportedInput",
    message: /^ONNX Runtime does not start here: no available backend found/,
  });
  const shifted = async (model: Uint8Array, options: object) => {
    const session = await ort.InferenceSession.create(model, options);
    const run = async (feeds: ort.InferenceSession.FeedsType) => {
      const found = await session.run(feeds);
      for (const { data } of Object.values(found)) (data as Float32Array)[0] = 9;
      return found;
    };
    return { inputNames: session.inputNames, outputNames: session.outputNames, run, release: () => session.release() };
  };
  const wrong = new OnnxRuntime({ InferenceSession: { create: shifted }, Tensor: ort.Tensor }, wasm);
  await assert.rejects(decode(tiles, { model, runtime: wrong }), {
    name: "ModelError",
    message: /^ONNX Runtime gives another mean of the mean0 graph than it should/,
  });
  await wrong.close();
});
