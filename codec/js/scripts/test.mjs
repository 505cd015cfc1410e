// Runs tests/*.test.ts by Node's own runner.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const home = dirname(dirname(fileURLToPath(import.meta.url)));
const tests = readdirSync(join(home, "tests")).filter((name) => name.endsWith(".test.ts"));
const outdir = join(home, "build", "tests");
await build({
  entryPoints: tests.map((name) => join(home, "tests", name)),
  outdir,
  bundle: true,
  format: "esm",
  platform: "node",
  external: ["onnxruntime-web"],
});
const built = tests.map((name) => join(outdir, name.replace(/\.ts$/, ".js")));
process.exit(spawnSync(process.execPath, ["--test", ...built], { stdio: "inherit" }).status ?? 1);
