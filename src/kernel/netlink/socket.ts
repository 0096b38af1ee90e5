import { KernelError } from "../error.ts"
import { inNamespace, type NamespaceHandle } from "../namespace.ts"
import { native } from "../native.ts"
import {
  Control,
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  Flag,
  HEADER_SIZE,
  type Message,
  readText,
  viewOf,
} from "./message.ts"

const NETLINK_ROUTE = 0
/** The kernel never sends a larger datagram of a dump. */
const BUFFER_BYTES = 128 * 1024
/** NLMSGERR_ATTR_MSG: the kernel's own words on a refusal. */
const ERROR_TEXT = 1

/** A change that the kernel shall make, and how to call it in an error ("add the link v0"). */
export interface Request {
  readonly operation: string
  readonly type: number
  /** Besides request and ack. */
  readonly flags?: number
  readonly payload: Uint8Array
}

/** Request and answer on one rtnetlink socket, which belongs to the namespace it was opened in. Synchronous. */
export class NetlinkSocket implements Disposable {
  readonly fd: number
  readonly #buffer = new Uint8Array(BUFFER_BYTES)
  #sequence = 0
  #open = true

  constructor(namespace?: NamespaceHandle) {
    const open = () => native().netlinkOpen(NETLINK_ROUTE)
    this.fd = namespace ? inNamespace(namespace, open) : open()
  }

  /** Makes a change and waits for the acknowledgement. Throws `KernelError` with the kernel's words. */
  change(request: Request): void {
    this.#exchange(request, Flag.request | Flag.ack | (request.flags ?? 0))
  }

  /** Asks for one object. */
  get(request: Request): Message[] {
    return this.#exchange(request, Flag.request | Flag.ack | (request.flags ?? 0))
  }

  /** Asks for all objects; asks again when they changed meanwhile. */
  dump(request: Request): Message[] {
    for (let attempt = 1; ; attempt++) {
      const messages = this.#exchange(request, Flag.request | Flag.dump | (request.flags ?? 0))
      // After some attempts a list that may lack a change is better than none: callers reconcile again.
      if (attempt === 5 || !messages.some((message) => message.flags & Control.interrupted)) return messages
    }
  }

  #exchange(request: Request, flags: number): Message[] {
    this.#sequence = (this.#sequence + 1) >>> 0
    const sequence = this.#sequence
    native().netlinkSend(this.fd, encodeMessage({ type: request.type, flags, sequence, payload: request.payload }))
    const answers: Message[] = []
    for (;;) {
      const length = native().netlinkReceive(this.fd, this.#buffer)
      // Copied: the buffer is used again for the next datagram.
      for (const message of decodeMessages(this.#buffer.slice(0, length))) {
        // An answer to an earlier request that was given up.
        if (message.sequence !== sequence) continue
        if (isEnd(message)) {
          const failure = failureIn(request.operation, message)
          if (failure !== undefined) throw failure
          return answers
        }
        answers.push(message)
      }
    }
  }

  close(): void {
    if (this.#open) native().close(this.fd)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** Whether the message ends the answer to a request: an acknowledgement, a refusal, the end of a dump. */
export function isEnd(message: Message): boolean {
  return message.type === Control.error || message.type === Control.done
}

/** The refusal that such a message tells (struct nlmsgerr, or the status at the end of a dump); undefined: it was done. */
export function failureIn(operation: string, message: Message): KernelError | undefined {
  if (message.payload.length < 4) return undefined
  const errno = -viewOf(message.payload).getInt32(0, true)
  if (errno <= 0) return undefined
  const plain = native().failure(operation, errno)
  const withTlvs = (message.flags & Control.acknowledgementTlvs) !== 0
  // NETLINK_CAP_ACK: of the request only its header is repeated. After a dump there is no header.
  const tlvs = message.payload.subarray(message.type === Control.error ? 4 + HEADER_SIZE : 4)
  const words = withTlvs ? readText(decodeAttributes(tlvs).get(ERROR_TEXT)) : undefined
  return words === undefined ? plain : new KernelError({ operation, code: plain.code, errno, text: words })
}
