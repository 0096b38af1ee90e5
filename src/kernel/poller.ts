import { type NativeWatch, native } from "./native.ts"

/** EPOLL_CTL_* and EPOLL*. */
const Control = { add: 1, delete: 2, modify: 3 } as const
const Epoll = { read: 0x1, write: 0x4, error: 0x8, hangUp: 0x10, peerClosed: 0x2000 } as const
/** Events that one call returns. */
const BATCH = 256

export interface Interest {
  readonly read?: boolean
  readonly write?: boolean
}

export interface PollEvent {
  /** The number given to `add`. */
  readonly token: number
  readonly readable: boolean
  readonly writable: boolean
  /** An error waits (SO_ERROR), or the other side is gone. */
  readonly failed: boolean
}

/** epoll over descriptors of any kind, level-triggered. One `wait` at a time. */
export class Poller implements Disposable {
  readonly #fd: number
  readonly #events = new Uint32Array(2 * BATCH)
  #stop: (() => void) | undefined
  #open = true

  constructor() {
    this.#fd = native().epollCreate()
  }

  add(target: { readonly fd: number }, interest: Interest, token: number): void {
    native().epollControl(this.#fd, Control.add, target.fd, mask(interest), token)
  }

  change(target: { readonly fd: number }, interest: Interest, token: number): void {
    native().epollControl(this.#fd, Control.modify, target.fd, mask(interest), token)
  }

  /** Before the descriptor is closed. */
  remove(target: { readonly fd: number }): void {
    native().epollControl(this.#fd, Control.delete, target.fd, 0, 0)
  }

  /** Events as soon as there are any, or none after `timeoutMs`. The event loop goes on meanwhile. */
  wait(timeoutMs: number): Promise<PollEvent[]> {
    if (this.#stop) throw new Error("Cannot wait: this poller is being waited for already; make a second one")
    const ready = this.waitSync(0)
    if (ready.length > 0 || timeoutMs <= 0) return Promise.resolve(ready)
    return new Promise((resolve) => {
      let watch: NativeWatch | undefined
      const finish = () => {
        this.#stop = undefined
        clearTimeout(timer)
        if (watch) native().watchStop(watch)
        resolve(this.#open ? this.waitSync(0) : [])
      }
      const timer = setTimeout(finish, timeoutMs)
      this.#stop = finish
      watch = native().watchStart(this.#fd, finish)
    })
  }

  /** Blocks the whole process for at most `timeoutMs`. */
  waitSync(timeoutMs: number): PollEvent[] {
    const count = native().epollWait(this.#fd, this.#events, timeoutMs)
    if (count < 0) throw native().failure("wait for events", -count)
    return Array.from({ length: count }, (_, i) => {
      const bits = this.#events[2 * i] ?? 0
      return {
        token: this.#events[2 * i + 1] ?? 0,
        readable: (bits & (Epoll.read | Epoll.hangUp | Epoll.peerClosed)) !== 0,
        writable: (bits & Epoll.write) !== 0,
        failed: (bits & (Epoll.error | Epoll.hangUp)) !== 0,
      }
    })
  }

  /** A wait that goes on ends with no events. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#stop?.()
    native().close(this.#fd)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function mask(interest: Interest): number {
  return (interest.read ? Epoll.read : 0) | (interest.write ? Epoll.write : 0)
}
