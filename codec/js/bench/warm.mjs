// Warm decoding in Node beside aez in Python on one thread, by turns in one run: `node bench/warm.mjs FOLDER [PYTHON]`.
//
// FOLDER holds picture.aez and model.aezm, the half of a model that aez brings which decodes it.
// Times are processor time; PYTHON has aez.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { decode } from "../dist/aez.js";

const RUNS = 7;
const [folder, python = "python3"] = process.argv.slice(2);
const file = join(folder, "picture.aez");
const half = join(folder, "model.aezm");
const SCRIPT = `
import sys, time
from pathlib import Path
from aez.codec.image.decoding import decode_picture
data = Path(sys.argv[1]).read_bytes()
for _ in sys.stdin:
    start = time.process_time()
    decode_picture(data, device="cpu", threads=1)
    print(time.process_time() - start, flush=True)
`;

const environment = { ...process.env, OMP_NUM_THREADS: "1" };
const child = spawn(python, ["-c", SCRIPT, file], { env: environment, stdio: ["pipe", "pipe", "inherit"] });
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
const bytes = await readFile(file);
const model = await readFile(half);

async function inNode() {
  const before = process.cpuUsage();
  await decode(bytes, { model });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

async function inPython() {
  child.stdin.write("\n");
  return Number((await lines.next()).value);
}

const found = [];
for (let i = 0; i <= RUNS; i++) found.push([await inNode(), await inPython()]);
child.stdin.end();
found.shift(); // the first of each is not warm
const median = (number) => found.map((times) => times[number]).sort((a, b) => a - b)[RUNS >> 1];
console.log(JSON.stringify({ node: median(0), python: median(1), ratio: median(0) / median(1), runs: found }));
