import { createServer, type Server } from "node:net"

/** A lock on a lab's name that ends with the process that holds it, however it ends. */
export interface LabLock {
  release(): Promise<void>
}

/**
 * Takes the lock of a lab's name for this process, or says that another process works on that lab. It is an abstract
 * unix socket: the kernel gives the name to one process at a time and takes it back when that one dies, and no file can
 * be left behind.
 */
export async function lockLab(name: string): Promise<LabLock> {
  const server = createServer((socket) => socket.destroy())
  try {
    await listening(server, `\0heddle-lab-${name}`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error
    throw new Error(
      `Cannot work on the lab ${name}: another heddle command is bringing it up or taking it down. ` +
        "Wait until it has ended, or use another name (--name)",
    )
  }
  server.unref()
  return { release: () => new Promise((resolve) => server.close(() => resolve())) }
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen(path, () => {
      server.off("error", reject)
      resolve()
    })
  })
}
