// Pictures decoded in workers, so that pages stay smooth: several at once, and large ones by their tiles.
export { Pool, type PoolOptions } from "./pool.js";
