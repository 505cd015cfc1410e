// `<aez-img>`: importing this defines it.
import { AezImage } from "./image.js";

export type { ModelSource } from "../page/index.js";
export { models, workers } from "../page/index.js";
export { AezImage };

if (globalThis.customElements && !customElements.get("aez-img")) customElements.define("aez-img", AezImage);

declare global {
  interface HTMLElementTagNameMap {
    "aez-img": AezImage;
  }
}
