// What a pool and its workers say to each other.
import type { Header, Metadata, Model, Tile } from "../index.js";

/** Options of `decode` that can be sent. */
export interface SentOptions {
  region?: readonly [number, number, number, number];
  scale?: number;
  maxPixels?: number;
  stored?: boolean;
}

/** Samples of a picture as they are kept: whole numbers of the header's bits. */
export interface SentSamples {
  width: number;
  height: number;
  channels: number;
  data: Uint8Array | Uint16Array;
}

/** What a worker needs of the caller's models: those it is to have, by number, or that it is to ask. */
export type SentModels = { kind: "one" | "list"; numbers: number[] } | { kind: "ask" } | { kind: "none" };

export type ToWorker =
  | { type: "model"; number: number; model: Model }
  | { type: "forget"; number: number }
  | { type: "decode"; job: number; bytes: Uint8Array | null; options: SentOptions; models: SentModels; tiles: boolean }
  | { type: "chunk"; job: number; bytes: Uint8Array | null }
  | { type: "answer"; job: number; numbers: number[]; error?: SentError }
  | { type: "abort"; job: number };

export interface SentError {
  name: string;
  message: string;
  chunk?: string;
}

export type FromWorker =
  | { type: "ready" }
  | { type: "header"; job: number; header: Header }
  | { type: "tile"; job: number; tile: Tile; header: Header }
  | { type: "wants"; job: number; id: string }
  | {
      type: "done";
      job: number;
      header: Header;
      colours: SentSamples;
      alpha: SentSamples | null;
      metadata: Metadata;
    }
  | { type: "failed"; job: number; error: SentError };
