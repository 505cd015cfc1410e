// The integer probability tables of a bundle, in the kernels' memory.
import type { Bundle } from "../bundle/bundle.js";
import { ModelError } from "../errors.js";
import type { Kernels, Pointer } from "../network/kernels.js";

const TOTAL = 2 ** 24;
const TABLES_MAX = 256;
const BUCKETS = 256;
const CONTEXTS = 8;
const SYMBOL_LIMIT = 2 ** 20;
const LEVELS_PER_KNOT = 256;

const unfit = (): ModelError => new ModelError("the model's tables are not whole, or of another model");

/** All tables that a tile needs: the pointers of those of hyper-latents and of residuals, and which is used where. */
export class TileTables {
  readonly hyper: Pointer;
  readonly residual: Pointer;
  readonly #numbers: Uint8Array;
  readonly #knots: number;

  /** Throws ModelError where they do not fit. */
  constructor(
    kernels: Kernels,
    bundle: Bundle,
    private readonly channels: number,
  ) {
    const { shape, data } = bundle.array("hyper_numbers", "|u1");
    const [knots, contexts, found] = shape;
    if (shape.length !== 3 || contexts !== CONTEXTS || found !== channels || !knots) {
      throw unfit();
    }
    this.#numbers = data as Uint8Array;
    this.#knots = knots;
    const hyper = readTables(bundle, "hyper");
    if (this.#numbers.some((number) => !number || number >= hyper.length)) {
      throw unfit();
    }
    this.hyper = store(kernels, hyper);
    this.residual = store(kernels, readTables(bundle, "residual"));
  }

  /** Numbers of the hyper tables at a level, [contexts][channels]. */
  hyperNumbers(level: number): Uint8Array {
    const count = CONTEXTS * this.channels;
    const knot = Math.floor((level + LEVELS_PER_KNOT / 2) / LEVELS_PER_KNOT);
    if (knot >= this.#knots) throw unfit();
    return this.#numbers.subarray(knot * count, (knot + 1) * count);
  }
}

/** Of each table the sums of its weights before each entry, and at the end 2^24. */
export function readTables(bundle: Bundle, name: string): Uint32Array[] {
  const weights = bundle.array(`${name}_weights`, "<u4").data as Uint32Array;
  const starts = Array.from(bundle.array(`${name}_starts`, "<i8").data as BigInt64Array, Number);
  const count = starts.length - 1;
  if (count < 1 || count > TABLES_MAX || starts[0] !== 0 || starts[count] !== weights.length) {
    throw unfit();
  }
  return starts.slice(1).map((end, number) => {
    const table = weights.subarray(starts[number], end);
    const sums = new Uint32Array(table.length + 1);
    let sum = 0;
    table.forEach((weight, entry) => {
      sum += weight || Infinity;
      sums[entry + 1] = sum;
    });
    if (table.length < 2 || table.length % 2 || table.length > 2 * SYMBOL_LIMIT || sum !== TOTAL) {
      throw unfit();
    }
    return sums;
  });
}

function store(kernels: Kernels, tables: Uint32Array[]): Pointer {
  const starts = new Uint32Array(tables.length + 1);
  tables.forEach((sums, number) => {
    starts[number + 1] = (starts[number] as number) + sums.length;
  });
  const joined = new Uint32Array(starts[tables.length] as number);
  tables.forEach((sums, number) => void joined.set(sums, starts[number]));
  const buckets = kernels.take(tables.length * BUCKETS * 2);
  const stored = kernels.put(Uint32Array.of(kernels.put(joined), kernels.put(starts), buckets, tables.length));
  kernels.run.prepare_tables(stored);
  return stored;
}
