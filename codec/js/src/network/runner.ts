// Runs the steps of a plan.
import type { Kernels, Pointer } from "./kernels.js";
import type { Element, Root, Step, Value, Window } from "./steps.js";

/** Steps, the numbers of the arena and of the room for convolutions, what is fixed, and the shapes of the outputs. */
export interface Plan {
  steps: readonly Step[];
  arena: number;
  panel: number;
  fixed: readonly Pointer[];
  outputs: readonly (readonly number[])[];
}

const WORD = 4;
const ELEMENT_WORDS = 4;
const CONVOLUTION_WORDS = 17;

/** Fills the outputs from the inputs, all of them pointers. */
export function runPlan(kernels: Kernels, plan: Plan, inputs: readonly Pointer[], outputs: readonly Pointer[]): void {
  kernels.within(() => {
    const elements = Math.max(1, ...plan.steps.map((step) => step.elements.length));
    const run = new Run(
      kernels,
      inputs,
      outputs,
      kernels.take(plan.arena * WORD),
      kernels.take(plan.panel * WORD),
      kernels.take(elements * ELEMENT_WORDS * WORD),
      kernels.take(CONVOLUTION_WORDS * WORD),
    );
    for (const step of plan.steps) run.step(step);
  });
}

/** One run: where everything lies. */
class Run {
  constructor(
    private readonly kernels: Kernels,
    private readonly inputs: readonly Pointer[],
    private readonly outputs: readonly Pointer[],
    private readonly arena: Pointer,
    private readonly panel: Pointer,
    private readonly elements: Pointer,
    private readonly head: Pointer,
  ) {}

  step(step: Step): void {
    const out = this.#root(step.out);
    const channels = step.shape[1] ?? 1;
    this.#list(step.elements);
    switch (step.kind) {
      case "elementwise": {
        const pixels = step.out.size / channels;
        this.kernels.run.elementwise(out, this.#at(step.x), channels, pixels, this.elements, step.elements.length);
        break;
      }
      case "convolution":
        this.#convolve(step.window, out, step.x, step.shape, step.elements.length);
        break;
      case "rearrange": {
        const numbers = this.kernels.integers(this.head, 2 * step.sizes.length);
        numbers.set(step.sizes);
        numbers.set(step.strides, step.sizes.length);
        const strides = this.head + step.sizes.length * WORD;
        this.kernels.run.rearrange(out, this.#at(step.x) + step.first * WORD, this.head, strides);
        break;
      }
      case "copy": {
        const floats = this.kernels.floats(0, this.kernels.run.memory.buffer.byteLength / WORD);
        for (const { from, first, count, to } of step.pieces) {
          const start = this.#at(from) / WORD + first;
          floats.copyWithin(out / WORD + to, start, start + count);
        }
        break;
      }
      case "function": {
        const from = this.kernels.floats(this.#at(step.x), step.out.size);
        const to = this.kernels.floats(out, step.out.size);
        for (let i = 0; i < to.length; i++) to[i] = step.apply(from[i] as number);
      }
    }
  }

  #root(root: Root): Pointer {
    if (root.kind === "fixed") return root.at;
    if (root.kind === "arena") return this.arena + root.at * WORD;
    return (root.kind === "input" ? this.inputs : this.outputs)[root.at] as Pointer;
  }

  #at(value: Value): Pointer {
    return this.#root(value.root) + value.offset * WORD;
  }

  #list(elements: readonly Element[]): void {
    const words = this.kernels.words(this.elements, elements.length * ELEMENT_WORDS);
    const floats = this.kernels.floats(this.elements, elements.length * ELEMENT_WORDS);
    elements.forEach(({ kind, a, b, values }, number) => {
      const first = number * ELEMENT_WORDS;
      words[first] = kind;
      floats[first + 1] = a;
      floats[first + 2] = b;
      words[first + 3] = values ? this.#at(values) : 0;
    });
  }

  #convolve(window: Window, out: Pointer, x: Value, shape: readonly number[], elements: number): void {
    const [, channelsIn, rows, columns] = x.shape as [number, number, number, number];
    const [, channelsOut, rowsOut, columnsOut] = shape as [number, number, number, number];
    this.kernels
      .words(this.head, CONVOLUTION_WORDS)
      .set([
        out,
        this.#at(x),
        window.weights,
        window.bias,
        this.panel,
        channelsOut,
        channelsIn,
        rows,
        columns,
        rowsOut,
        columnsOut,
        window.side,
        window.stride,
        window.pad,
        Number(window.edge),
        this.elements,
        elements,
      ]);
    if (window.depthwise) this.kernels.run.convolve_depthwise(this.head);
    else this.kernels.run.convolve(this.head);
  }
}
