import { native } from "./native.ts"

/**
 * Resolves after an RCU grace period: every BPF program that ran when it was called has ended, so nobody reads what was
 * live before. membarrier(MEMBARRIER_CMD_GLOBAL) on a worker thread; some 8–20 ms.
 */
export function rcuGrace(): Promise<void> {
  return new Promise((resolve, reject) => {
    native().membarrier((error) => (error ? reject(error) : resolve()))
  })
}
