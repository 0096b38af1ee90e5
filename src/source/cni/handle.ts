import { CniError } from "./error.ts"
import type { PodNetwork } from "./pod-network.ts"
import { type Invocation, parseInvocation, parseRequest } from "./request.ts"
import { addResult } from "./result.ts"
import { latestVersion, supportedVersions, versionForError } from "./version.ts"

/** What the shim prints, and the exit code it ends with. */
export interface Answer {
  readonly exit: 0 | 1
  readonly stdout: string
}

/** Answers one invocation of the plugin; never throws. */
export async function handle(text: string, network: PodNetwork): Promise<Answer> {
  let invocation: Invocation | undefined
  try {
    invocation = parseInvocation(text)
    return { exit: 0, stdout: await perform(invocation, network) }
  } catch (error) {
    const version = versionForError(invocation?.config["cniVersion"])
    return { exit: 1, stdout: CniError.from(error).toResult(version) }
  }
}

/** DEL, CHECK, GC and STATUS succeed with nothing on standard output (spec, section 2). */
async function perform(invocation: Invocation, network: PodNetwork): Promise<string> {
  const request = parseRequest(invocation)
  switch (request.command) {
    case "ADD":
      return addResult(request.configuration, await network.add(request.attach))
    case "DEL":
      await network.del(request.ref)
      return ""
    case "CHECK":
      await network.check(request.check)
      return ""
    case "GC":
      await network.gc(request.configuration.name, request.valid)
      return ""
    case "STATUS":
      await network.status()
      return ""
    case "VERSION":
      return `${JSON.stringify({ cniVersion: request.asked ?? latestVersion, supportedVersions })}\n`
  }
}
