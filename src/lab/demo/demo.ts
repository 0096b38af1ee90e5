import { type ChildProcess, spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import type { Cluster } from "../../model/cluster.ts"
import { parseAddress } from "../../net/address.ts"
import { type Address, Protocol } from "../../net/types.ts"
import type { SourceText } from "../../source/check.ts"
import { ObjectStore } from "../../source/objects.ts"
import { clearLab } from "../clear.ts"
import type { Lab } from "../lab.ts"
import { labDown, labUp, onEndSignal } from "../manage.ts"
import { heddleCommand, packageRoot } from "../package.ts"
import { LabPaths } from "../paths.ts"
import { Prober } from "../probe/prober.ts"
import { Reactor } from "../reactor.ts"
import type { PodRecord } from "../record.ts"
import { OUTSIDE, podIdentity } from "../stations.ts"
import { type Matrix, type Party, reachability, type Service } from "./matrix.ts"
import { foldLine, matrixText, type Paint, painter, tableText } from "./text.ts"

export interface DemoOptions {
  readonly out: (text: string) => void
  readonly colour: boolean
  /** Whether a line may be written over (a terminal). */
  readonly live: boolean
}

const NAME = "demo"
/** The card network of the example, and the machine there that its policy excludes. */
const cards = parseAddress("203.0.113.10")
const stolen = parseAddress("203.0.113.66")
/** Columns that every line of the demo fits in. */
const WIDTH = 100
/** How long flows are shown, in ms. */
const WATCH_MS = 4_000

/**
 * `heddle lab demo`: the shop of `examples/shop` in a lab of two nodes, who reaches whom by the policies and in truth,
 * connections as they are judged, one that is dropped explained, and how to go on. Returns the exit code: 1 when any
 * connection did not go as the policies say.
 */
export async function demo(options: DemoOptions): Promise<number> {
  const paint = painter(options.colour)
  const { out } = options
  const title = (text: string): void => out(`\n${paint("bold", text)}\n`)
  out(
    `${paint("bold", "Heddle")}: a small shop on a cluster of two nodes, made of network namespaces on this machine\n\n`,
  )
  const progress = new Progress(options, paint)
  const forget = onEndSignal(async () => {
    progress.end()
    await clearLab(new LabPaths(NAME))
  })
  try {
    progress.step("clearing what an earlier demo left")
    await labDown(NAME)
    const directory = join(packageRoot(), "examples", "shop")
    const { lab } = await labUp({
      name: NAME,
      texts: manifestTexts(directory),
      nodes: 2,
      routing: "vxlan",
      families: [4, 6],
      outside: [cards, stolen],
      progress: (text) => progress.step(text),
      undoOnSignal: false,
    })
    progress.end()
    title("Nodes")
    out(await nodesText(lab, paint))
    title("Pods")
    out(podsText(lab, paint))

    const cluster = clusterOf(lab)
    const reactor = new Reactor((error) => out(`${error instanceof Error ? error.message : error}\n`))
    reactor.start()
    const prober = new Prober(reactor)
    try {
      const shop = partiesOf(lab)
      const started = performance.now()
      const matrix = await reachability(cluster, prober, shop.askers, shop.services)
      title("Who reaches whom")
      out(matrixText(matrix, paint))
      out(summaryText(matrix, performance.now() - started, paint))
      title("Connections as they are judged")
      await watch(options, paint, prober, shop)
      title("Why not?")
      await command(options, paint, ["why", "shop/web-0", "data/database-0", "--port", "5432/TCP", "--lab", NAME])
      out(goOn(lab, paint))
      return matrix.wrong.length === 0 ? 0 : 1
    } finally {
      prober.close()
      await reactor.close()
    }
  } finally {
    progress.end()
    forget()
  }
}

function manifestTexts(directory: string): SourceText[] {
  return readdirSync(directory)
    .filter((name) => /\.ya?ml$/.test(name))
    .sort()
    .map((name) => ({
      file: relative(process.cwd(), join(directory, name)),
      text: readFileSync(join(directory, name), "utf8"),
    }))
}

async function nodesText(lab: Lab, paint: Paint): Promise<string> {
  const rows = [["NAME", "ADDRESSES", "PODS FROM", "PODS", "GENERATION"]]
  for (const node of lab.nodes.values()) {
    const status = await lab.client(node.name).call("status", {})
    const pods = [...lab.pods.values()].filter((pod) => pod.node === node.name).length
    rows.push([
      node.name,
      node.addresses.join(" "),
      node.podPrefixes.join(" "),
      String(pods),
      String(status.generation),
    ])
  }
  return tableText(rows, paint)
}

function podsText(lab: Lab, paint: Paint): string {
  const rows = [["NAME", "NODE", "ADDRESSES", "LISTENS ON"]]
  for (const pod of sorted(lab)) {
    const ports = pod.listens.map((listen) => listen.port).join(" ")
    rows.push([podIdentity(pod), pod.node, pod.addresses.join(" "), ports === "" ? "nothing" : ports])
  }
  return tableText(rows, paint)
}

function sorted(lab: Lab): PodRecord[] {
  return [...lab.pods.values()].sort((a, b) => (podIdentity(a) < podIdentity(b) ? -1 : 1))
}

function clusterOf(lab: Lab): Cluster {
  const store = new ObjectStore({ now: () => 0 })
  for (const object of lab.objects) store.put(object)
  return store.cluster()
}

interface Shop {
  readonly askers: readonly Party[]
  readonly services: readonly Service[]
  party(name: string): Party
}

function partiesOf(lab: Lab): Shop {
  const parties = sorted(lab).flatMap((pod): Party[] => {
    const [address] = pod.addresses
    if (address === undefined) return []
    const name = podIdentity(pod)
    return [{ name, netns: lab.paths.podNamespace(pod.namespace, pod.name), address, identity: name }]
  })
  const foreign = (name: string, address: Address): Party => ({
    name,
    netns: lab.paths.outside,
    address,
    identity: OUTSIDE,
  })
  const host = foreign("outside", cards)
  const of = (start: string): Party[] => parties.filter((party) => party.name.startsWith(start))
  const tcp = (title: string, port: number, served: readonly Party[]): Service => ({
    title,
    port,
    protocol: Protocol.TCP,
    parties: served,
  })
  const all = [...parties, host]
  return {
    askers: all,
    services: [
      tcp("web", 8080, of("shop/web-")),
      tcp("cart", 9000, of("shop/cart-")),
      tcp("catalogue", 8080, of("shop/catalogue-")),
      tcp("payments", 8443, of("bank/payments-")),
      tcp("database", 5432, of("data/database-")),
      tcp("metrics", 9100, of("data/database-")),
      tcp("monitor", 3000, of("data/monitor-")),
      tcp("113.10", 443, [host]),
      tcp("113.66", 443, [foreign("203.0.113.66", stolen)]),
    ],
    party(name) {
      const found =
        name === "203.0.113.66"
          ? foreign(name, stolen)
          : name === "203.0.113.10"
            ? host
            : all.find((one) => one.name === name)
      if (found === undefined) throw new Error(`Cannot find ${name} in the demo's lab; is examples/shop changed?`)
      return found
    },
  }
}

function summaryText(matrix: Matrix, milliseconds: number, paint: Paint): string {
  const legend = paint(
    "dim",
    "  first sign: what the policies say; second: what a real connection met. ✓ allowed  · denied",
  )
  const took = `${matrix.connections} connections tried in ${(milliseconds / 1_000).toFixed(1)} s`
  if (matrix.wrong.length === 0) return `${legend}\n  ${paint("green", `${took}, every one as the policies say`)}\n`
  const lines = matrix.wrong.map(({ from, to, port, expected, failure }) => {
    const what = failure ?? (expected ? "it should pass and did not" : "it should not pass and did")
    return `  ${from.name} → ${to.name}:${port}: ${what}\n`
  })
  return `${legend}\n  ${paint("red", `${took}, ${matrix.wrong.length} not as the policies say:`)}\n${lines.join("")}`
}

/** Connections of a working shop, and some that nobody allowed. */
const traffic: readonly (readonly [from: string, to: string, port: number, expect: "allow" | "deny"])[] = [
  ["street/customer", "shop/web-0", 8080, "allow"],
  ["shop/web-0", "shop/catalogue-1", 8080, "allow"],
  ["shop/catalogue-1", "data/database-0", 5432, "allow"],
  ["shop/web-0", "shop/cart-0", 9000, "allow"],
  ["shop/cart-0", "bank/payments-0", 8443, "allow"],
  ["bank/payments-0", "203.0.113.10", 443, "allow"],
  ["bank/payments-0", "203.0.113.66", 443, "deny"],
  ["data/monitor-0", "data/database-0", 9100, "allow"],
  ["street/customer", "data/database-0", 5432, "deny"],
  ["shop/web-0", "data/database-0", 5432, "deny"],
]

/** Shows what `heddle observe` prints while the shop is used. */
async function watch(options: DemoOptions, paint: Paint, prober: Prober, shop: Shop): Promise<void> {
  const child = start(options, paint, ["observe", "--follow", "--protocol", "tcp", "--lab", NAME], 16)
  const ended = exit(child)
  // The command must be there before what it shall show.
  await Promise.race([sleep(1_200), ended])
  const until = performance.now() + WATCH_MS
  for (const [from, to, port, expect] of traffic) {
    if (performance.now() > until) break
    const [source, target] = [shop.party(from), shop.party(to)]
    await prober.run([
      {
        from: { netns: source.netns, address: source.address },
        to: { netns: target.netns, address: target.address, identities: [target.identity] },
        protocol: Protocol.TCP,
        port,
        expect,
      },
    ])
    await sleep(200)
  }
  await sleep(400)
  child.kill("SIGINT")
  await Promise.race([ended, sleep(2_000).then(() => child.kill("SIGKILL"))])
}

/** Runs a heddle command as a person would, its name before its output. */
async function command(options: DemoOptions, paint: Paint, words: readonly string[]): Promise<void> {
  await exit(start(options, paint, words, 10))
}

/** What a command prints is folded to the demo's width: on a terminal people read it beside the rest. */
function start(options: DemoOptions, paint: Paint, words: readonly string[], indent: number): ChildProcess {
  options.out(`  ${paint("cyan", `$ heddle ${words.join(" ")}`)}\n`)
  const [program = "", ...rest] = heddleCommand()
  const child = spawn(program, [...rest, ...words], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...(options.colour ? { FORCE_COLOR: "1" } : {}) },
  })
  createInterface({ input: child.stdout }).on("line", (line) =>
    options.out(`${foldLine(`  ${line}`, WIDTH, indent)}\n`),
  )
  return child
}

function exit(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("error", () => resolve())
    // "close" comes when its output has been read to the end.
    child.once("close", () => resolve())
  })
}

function goOn(lab: Lab, paint: Paint): string {
  const payments = lab.pods.get("bank/payments-0")?.addresses[0] ?? "ADDRESS"
  const lines: readonly (readonly [string, string])[] = [
    [`bin/heddle lab exec shop/cart-0 -- curl -s http://${payments}:8443`, "ask as a pod"],
    ["bin/heddle observe --follow --verdict dropped", "what is refused"],
    ["bin/heddle policy show shop/web-0", "the rules of one pod"],
    ["bin/heddle lab status", "nodes and pods"],
    ["bin/heddle lab down --name demo", "take it all away"],
  ]
  const width = Math.max(...lines.map(([line]) => line.length))
  const text = lines.map(([line, what]) => `  ${paint("cyan", line.padEnd(width))}  ${paint("dim", what)}\n`).join("")
  return `\n${paint("bold", "The lab stays up. Go on with")}\n${text}`
}

/** One line for each step; on a terminal it gets the time it took once it is done. */
class Progress {
  readonly #options: DemoOptions
  readonly #paint: Paint
  #step: { readonly text: string; readonly since: number } | undefined

  constructor(options: DemoOptions, paint: Paint) {
    this.#options = options
    this.#paint = paint
  }

  step(text: string): void {
    this.end()
    this.#step = { text, since: performance.now() }
    this.#options.out(this.#options.live ? `  … ${text}` : `  ${text} …\n`)
  }

  end(): void {
    if (this.#step === undefined) return
    const { text, since } = this.#step
    this.#step = undefined
    const seconds = this.#paint("dim", `${((performance.now() - since) / 1_000).toFixed(1)} s`)
    if (this.#options.live) this.#options.out(`\r  ${this.#paint("green", "✓")} ${text}  ${seconds}\n`)
  }
}
