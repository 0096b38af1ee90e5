import type { Command } from "commander"
import { Failure } from "../../api/failure.ts"
import { examples, type Register, type Session } from "../command.ts"
import type { Io } from "../io.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText } from "../output/print.ts"
import { tableText } from "../output/table.ts"
import { count, durationText } from "../output/text.ts"

interface UpOptions {
  readonly filename?: string[]
  readonly recursive?: boolean
  readonly name: string
  readonly nodes?: string
  readonly routing: string
  readonly family: string
  readonly outside?: string[]
}

interface NameOptions {
  readonly name?: string
  readonly lab?: string
  readonly output?: string
}

export const registerLab: Register = (program, session) => {
  const group = program
    .command("lab")
    .description("A cluster on this machine: nodes and pods as network namespaces, real packets, no containers")
  registerUp(group, session)
  registerStatus(group, session)
  registerExec(group, session)
  registerDown(group, session)
  registerRespond(group, session)
  registerDemo(group, session)
}

/** What `make demo` runs. */
function registerDemo(group: Command, session: Session): void {
  const { io } = session
  group.command("demo", { hidden: true }).action(async () => {
    const { demo } = await import("../../lab/demo/demo.ts")
    session.exitCode = await demo({ out: io.out, colour: io.colour.out, live: io.width !== undefined })
  })
}

/** Started by `lab up` in the background; people have no use for it. */
function registerRespond(group: Command, { io }: Session): void {
  group
    .command("respond", { hidden: true })
    .requiredOption("--name <name>")
    .action(async (options: { readonly name: string }) => {
      const [{ respond }, { LabPaths }] = await Promise.all([
        import("../../lab/answering.ts"),
        import("../../lab/paths.ts"),
      ])
      await respond(new LabPaths(options.name), io.interrupted)
    })
}

function registerUp(group: Command, { io }: Session): void {
  const command = group
    .command("up")
    .description("Make a lab from Kubernetes manifests, or bring the running one into their state (needs root)")
    .option("-f, --filename <path...>", "files, directories, or - for standard input")
    .option("-R, --recursive", "subdirectories too")
    .option("--name <name>", "name of the lab", "lab")
    .option("--nodes <count>", "nodes (default: as many as the manifests name, else two)")
    .option("--routing <kind>", "how pods of other nodes are reached: vxlan or native", "vxlan")
    .option("--family <names>", "address families of the pods: ipv4, ipv6 or dual", "dual")
    .option("--outside <address...>", "make hosts outside the cluster with these addresses")
    .action(async (options: UpOptions) => {
      const routing = oneOf(options.routing, ["vxlan", "native"] as const, "--routing")
      const family = oneOf(options.family, ["ipv4", "ipv6", "dual"] as const, "--family")
      const texts = await readManifestFiles(io, options.filename ?? [], options.recursive ?? false)
      const [{ labUp }, { parseAddress }] = await Promise.all([
        import("../../lab/manage.ts"),
        import("../../net/address.ts"),
      ])
      const paint = painter(io.colour.err)
      const begin = io.now()
      const { lab, changed, warnings } = await labUp({
        name: options.name,
        texts,
        routing,
        families: family === "dual" ? [4, 6] : family === "ipv4" ? [4] : [6],
        ...(options.nodes === undefined ? {} : { nodes: nodeCount(options.nodes) }),
        ...(options.outside === undefined ? {} : { outside: options.outside.map((text) => parseAddress(text)) }),
        progress: (text) => io.err(`${paint("dim", "…")} ${text}\n`),
      })
      const { problemText } = await import("../../model/problem.ts")
      for (const warning of warnings) io.err(`${problemText(warning)}\n`)
      const { labStatus } = await import("../../lab/manage.ts")
      const { nodes } = await labStatus(options.name)
      const pods = nodes.reduce((sum, node) => sum + node.pods.length, 0)
      const what = `${count(nodes.length, "node")}, ${count(pods, "pod")}`
      io.err(
        `${paint("green", "lab")} ${lab.paths.name} ${changed ? "brought into this state" : "is up"}: ${what}, in ${durationText(io.now() - begin)}\n`,
      )
      const named = options.name === "lab" ? "" : ` --lab ${options.name}`
      io.err(`next: heddle observe --follow${named}, heddle lab exec${named} NS/POD -- CMD, heddle lab down${named}\n`)
    })
  examples(command, [
    ["heddle lab up -f examples/shop", "the shop, on two nodes"],
    ["heddle lab up -f deploy/ -R --nodes 3", "your own manifests on three nodes"],
    ["heddle lab up -f policy.yaml --routing native", "without an overlay"],
  ])
}

function registerStatus(group: Command, session: Session): void {
  const { io } = session
  const command = group
    .command("status")
    .description("What a lab consists of, and how its nodes are")
    .option("--name <name>", "name of the lab (default: the only one, or the one called lab)")
    .option("--lab <name>", "the same as --name")
    .option("-o, --output <format>", "table, json or name")
    .action(async (options: NameOptions) => {
      const format = formatOf(options.output, ["table", "json", "name"], "table")
      const { labNames, labStatus } = await import("../../lab/manage.ts")
      const status = await labStatus(await labName(options))
      if (format === "json") io.out(jsonText(status))
      else if (format === "name")
        io.out(
          labNames()
            .map((name) => `${name}\n`)
            .join(""),
        )
      else io.out(statusText(io, status))
      if (status.nodes.some((node) => node.status === undefined)) session.exitCode = 3
    })
  examples(command, [
    ["heddle lab status", "nodes and pods"],
    ["heddle lab status -o name", "names of the labs that are up"],
  ])
}

function statusText(
  io: Io,
  { record, nodes }: Awaited<ReturnType<typeof import("../../lab/manage.ts").labStatus>>,
): string {
  const paint = painter(io.colour.out)
  const nodeTable = tableText(nodes, [
    { header: "NODE", value: (node) => node.name },
    { header: "ADDRESSES", value: (node) => node.addresses.join(",") },
    { header: "PODS", value: (node) => String(node.pods.length), align: "right" },
    {
      header: "AGENT",
      value: (node) =>
        node.status === undefined ? paint("red", node.problem ?? "does not answer") : paint("green", "running"),
    },
    { header: "GENERATION", value: (node) => String(node.status?.generation ?? "-"), align: "right" },
    {
      header: "ENDPOINTS",
      value: (node) => (node.status === undefined ? "-" : `${node.status.endpointsReady}/${node.status.endpoints}`),
      align: "right",
    },
    { header: "LOG", value: (node) => node.log },
  ])
  const pods = nodes.flatMap((node) => node.pods)
  const podTable = tableText(pods, [
    { header: "POD", value: (pod) => `${pod.namespace}/${pod.name}` },
    { header: "NODE", value: (pod) => pod.node },
    { header: "ADDRESSES", value: (pod) => (pod.hostNetwork ? "its node's" : pod.addresses.join(",")) },
  ])
  return `${paint("bold", `lab ${record.name}`)}, routing ${record.routing}\n\n${nodeTable}\n${podTable}`
}

function registerExec(group: Command, session: Session): void {
  // The options of the command that is run are not ours.
  group.enablePositionalOptions()
  const command = group
    .command("exec")
    .description("Run a command in the network of a pod, of a node (node/NAME), or outside the cluster (outside)")
    .argument("<place>", "NAMESPACE/POD, node/NAME or outside")
    .argument("<command...>", "after --")
    .option("--name <name>", "name of the lab (default: the only one, or the one called lab)")
    .option("--lab <name>", "the same as --name")
    .passThroughOptions()
    .action(async (place: string, words: string[], options: NameOptions) => {
      const { labExec } = await import("../../lab/manage.ts")
      const command = words[0] === "--" ? words.slice(1) : words
      if (command.length === 0) {
        throw new Failure(
          "usage",
          `Cannot run in ${place}`,
          "no command is given",
          `heddle lab exec ${place} -- ip addr`,
        )
      }
      session.exitCode = await labExec(await labName(options), place, command)
    })
  examples(command, [
    ["heddle lab exec shop/web-0 -- ip addr", "the pod's interfaces"],
    ["heddle lab exec shop/web-0 -- curl -m 2 http://10.244.1.3", "a request from a pod"],
    ["heddle lab exec node/node-1 -- ip route", "the routes of a node"],
  ])
}

function registerDown(group: Command, { io }: Session): void {
  const command = group
    .command("down")
    .description("Take a lab away, and what crashed labs left behind")
    .option("--name <name>", "name of the lab", "lab")
    .option("--lab <name>", "the same as --name")
    .option("--all", "every lab")
    .action(async (options: NameOptions & { readonly all?: boolean }) => {
      const { labDown, labNames } = await import("../../lab/manage.ts")
      const names = options.all === true ? labNames() : [options.lab ?? options.name ?? "lab"]
      for (const name of names) {
        const there = await labDown(name)
        io.err(there ? `lab ${name} is down\n` : `there is no lab ${name}\n`)
      }
    })
  examples(command, [
    ["heddle lab down", "the lab called lab"],
    ["heddle lab down --all", "every lab of this machine"],
  ])
}

/** The lab that is meant: the one named, the only one, or the one called lab. */
async function labName(options: NameOptions): Promise<string> {
  const named = options.name ?? options.lab
  if (named !== undefined) return named
  const { DEFAULT_LAB, labNames } = await import("../../lab/manage.ts")
  const names = labNames()
  const [only] = names
  if (names.length === 1 && only !== undefined) return only
  if (names.length === 0 || names.includes(DEFAULT_LAB)) return DEFAULT_LAB
  throw new Failure(
    "usage",
    "Cannot tell which lab is meant",
    `several are up: ${names.join(", ")}`,
    "name one by --name",
  )
}

function oneOf<T extends string>(text: string, all: readonly T[], flag: string): T {
  const found = all.find((one) => one === text)
  if (found !== undefined) return found
  throw new Failure("usage", `Cannot use ${flag} ${text}`, `wanted ${all.join(" or ")}`)
}

function nodeCount(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number >= 1 && number <= 64) return number
  throw new Failure("usage", `Cannot use --nodes ${text}`, "wanted a whole number from 1 to 64")
}
