import { once } from "node:events"
import { createConnection, createServer, type Server } from "node:net"
import { Failure, reasonOf } from "../api/failure.ts"
import { inNamespace, type NamespaceHandle, openNamespace } from "../kernel/namespace.ts"

/** An abstract name (unix(7)): it belongs to a network namespace as interfaces do, and goes with the process that holds it. */
const NAME = "\0heddle-agent"
const ANSWER_MS = 1_000

/**
 * Makes this process the only agent of a network namespace, whatever its run directory: two would undo each other's
 * interfaces, routes and programs. `netns`: its path; undefined: the caller's. Throws a `Failure` that names the holder.
 */
export async function lockNamespace(netns: string | undefined, runDir: string): Promise<() => void> {
  const namespace = netns === undefined ? undefined : openNamespace(netns)
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      const server = createServer((peer) => {
        peer.on("error", () => undefined)
        peer.end(`process ${process.pid} (run directory ${runDir})`)
      })
      if (await listens(server, namespace)) return () => server.close()
      const holder = await ask(namespace)
      if (holder === "") continue // it was just ending
      throw new Failure(
        "failed",
        "Cannot start an agent on this node",
        `${holder} is the agent of this network namespace`,
        "stop that one first (it leaves everything enforced), or give this one another --netns",
      )
    }
  } finally {
    namespace?.close()
  }
  throw new Failure("failed", "Cannot start an agent on this node", "another one is starting or ending", "try again")
}

/** False when the name is taken. The socket is made at once, so in the namespace that is entered for it. */
async function listens(server: Server, namespace: NamespaceHandle | undefined): Promise<boolean> {
  within(namespace, () => server.listen(NAME))
  try {
    await once(server, "listening")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return false
    throw new Failure("failed", "Cannot lock the network namespace", reasonOf(error))
  }
  server.unref()
  return true
}

/** What the holder says of itself; empty when it is gone. */
async function ask(namespace: NamespaceHandle | undefined): Promise<string> {
  const peer = within(namespace, () => createConnection(NAME))
  peer.setTimeout(ANSWER_MS, () => peer.destroy(new Error("it does not answer")))
  let text = ""
  try {
    for await (const chunk of peer) text += String(chunk)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") return ""
    return "a process that does not answer"
  }
  return text === "" ? "another process" : text
}

function within<T>(namespace: NamespaceHandle | undefined, act: () => T): T {
  return namespace === undefined ? act() : inNamespace(namespace, act)
}
