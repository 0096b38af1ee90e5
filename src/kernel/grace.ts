import { native } from "./native.ts"

/**
 * Resolves when every BPF program at a traffic-control hook that ran when it was called has ended, so nobody reads what was live
 * before. A worker thread runs on each CPU once (0.1 ms); where it may not, membarrier(MEMBARRIER_CMD_GLOBAL), some 8–20 ms.
 */
export function rcuGrace(): Promise<void> {
  return new Promise((resolve, reject) => {
    native().membarrier((error) => (error ? reject(error) : resolve()))
  })
}
