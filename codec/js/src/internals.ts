// What other entries of this package share with the first one; no part of what is kept from version to version.
export { Bundle } from "./bundle/bundle.js";
export { crc32 } from "./container/crc32.js";
export { varintBytes } from "./container/fields.js";
export { readTables } from "./entropy/tables.js";
export { withKernels } from "./image/decode.js";
export { ImageModel } from "./image/model.js";
export { unpacked } from "./image/models.js";
