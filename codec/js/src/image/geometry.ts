// Sizes from the `coding` of a manifest, in pixels unless they count channels.
import { ModelError } from "../errors.js";

const LEVEL_MAX = 2048;
const LIMITS = {
  alignment: [2, 64],
  latent_stride: [1, 64],
  hyper_stride: [1, 64],
  state_stride: [1, 64],
  channels: [1, 4096],
  hyper_channels: [1, 4096],
  state_channels: [1, 4096],
  synthesis_halo: [0, 512],
  level_max: [LEVEL_MAX, LEVEL_MAX],
} as const;

export type Position = readonly [row: number, column: number];

export type Geometry = Record<keyof typeof LIMITS, number> & {
  /** Latent positions along one side of a cell. */
  cells: number;
  /** The phases in which the latent is coded: the positions in each of its cells. */
  phases: readonly (readonly Position[])[];
};

const unfit = (): ModelError => new ModelError("the sizes and phases in the model's manifest do not fit together");

/** Throws ModelError for a missing or absurd number. */
export function geometryOf(coding: Record<string, unknown>): Geometry {
  const numbers = {} as Record<keyof typeof LIMITS, number>;
  for (const [name, [low, high]] of Object.entries(LIMITS) as [keyof typeof LIMITS, readonly [number, number]][]) {
    const value = coding[name];
    if (!Number.isInteger(value) || Number(value) < low || Number(value) > high) {
      throw new ModelError(`the model's manifest says ${name} = ${value}, which is outside ${low}..${high}`);
    }
    numbers[name] = Number(value);
  }
  const { alignment, hyper_stride, state_stride, latent_stride, synthesis_halo } = numbers;
  if (
    alignment % hyper_stride ||
    hyper_stride % state_stride ||
    state_stride % latent_stride ||
    synthesis_halo % alignment
  ) {
    throw unfit();
  }
  const cells = state_stride / latent_stride;
  return { ...numbers, cells, phases: phasesOf(coding.phases, cells) };
}

function phasesOf(listed: unknown, cells: number): Position[][] {
  const phases = Array.isArray(listed) ? listed : [];
  const found = new Set<number>();
  for (const phase of phases) {
    for (const place of Array.isArray(phase) ? phase : []) {
      const [row, column] = Array.isArray(place) ? place : [];
      const inside = [row, column].every((one) => Number.isInteger(one) && one >= 0 && one < cells);
      if (!inside || place.length !== 2 || found.has(row * cells + column)) found.add(-1);
      else found.add(row * cells + column);
    }
  }
  if (found.has(-1) || found.size !== cells * cells || phases.some((phase) => !phase.length)) {
    throw unfit();
  }
  return phases;
}
