import { spawn } from "node:child_process"
import { Failure } from "../api/failure.ts"
import { isRecord } from "../model/manifest.ts"
import { parsePrefix, prefixBase } from "../net/prefix.ts"
import type { Address } from "../net/types.ts"
import { cniPlugin } from "./package.ts"

/** A pod's sandbox as the runtime names it to the plugin. */
export interface Sandbox {
  /** Socket of the node's agent. */
  readonly socket: string
  /** CNI_CONTAINERID. */
  readonly container: string
  /** Path of the pod's network namespace. */
  readonly netns: string
  readonly namespace: string
  readonly pod: string
  /** Addresses that the pod must get; empty: the node chooses. */
  readonly addresses: readonly Address[]
}

/** CNI ADD through the real plugin; returns the addresses of the pod's `eth0`, in the plugin's order. */
export async function cniAdd(sandbox: Sandbox): Promise<Address[]> {
  const result = await runPlugin("ADD", sandbox)
  const ips = isRecord(result) && Array.isArray(result["ips"]) ? result["ips"] : []
  const addresses: Address[] = []
  for (const ip of ips) {
    if (isRecord(ip) && typeof ip["address"] === "string") addresses.push(prefixBase(parsePrefix(ip["address"])))
  }
  return addresses
}

/** CNI DEL through the real plugin; succeeds when there is nothing to delete. */
export async function cniDel(sandbox: Sandbox): Promise<void> {
  await runPlugin("DEL", sandbox)
}

async function runPlugin(command: "ADD" | "DEL", sandbox: Sandbox): Promise<unknown> {
  const config = {
    cniVersion: "1.1.0",
    name: "heddle",
    type: "heddle-cni",
    ...(sandbox.addresses.length > 0 ? { runtimeConfig: { ips: sandbox.addresses } } : {}),
  }
  const child = spawn(cniPlugin(), [], {
    stdio: ["pipe", "pipe", "inherit"],
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: sandbox.container,
      CNI_NETNS: sandbox.netns,
      CNI_IFNAME: "eth0",
      CNI_PATH: "/opt/cni/bin",
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${sandbox.namespace};K8S_POD_NAME=${sandbox.pod}`,
      HEDDLE_CNI_SOCKET: sandbox.socket,
    },
  })
  const chunks: Buffer[] = []
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk))
  const exit = new Promise<number>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code) => resolve(code ?? 1))
  })
  // The plugin may answer (a bad environment) before it reads; its exit code tells then.
  child.stdin.on("error", () => undefined)
  child.stdin.end(JSON.stringify(config))
  const code = await exit
  const text = Buffer.concat(chunks).toString("utf8").trim()
  let answer: unknown
  try {
    answer = text === "" ? undefined : JSON.parse(text)
  } catch {
    throw failure(command, sandbox, `the plugin printed ${JSON.stringify(text.slice(0, 200))}`)
  }
  if (code === 0) return answer
  const { msg, details } = isRecord(answer) ? answer : {}
  throw failure(command, sandbox, [msg, details].filter((part) => typeof part === "string" && part !== "").join(". "))
}

function failure(command: string, sandbox: Sandbox, why: string): Failure {
  const what = command === "ADD" ? "Cannot connect the pod" : "Cannot disconnect the pod"
  return new Failure(
    "failed",
    `${what} ${sandbox.namespace}/${sandbox.pod}`,
    why === "" ? `the CNI plugin failed at ${command}` : why,
    "heddle doctor says what this machine lacks; heddle lab status names the agents' logs",
  )
}
