import type { Command } from "commander"
import { Failure } from "../../api/failure.ts"
import type { LabStatus } from "../../lab/manage.ts"
import { problemText } from "../../model/problem.ts"
import { tryParseAddress } from "../../net/address.ts"
import type { Address, Family } from "../../net/types.ts"
import { examples, type Register, type Session } from "../command.ts"
import type { Io } from "../io.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText, plain, yamlText } from "../output/print.ts"
import { tableText } from "../output/table.ts"
import { count } from "../output/text.ts"
import { runningLabs } from "../target.ts"

interface UpOptions {
  readonly filename?: string[]
  readonly recursive?: boolean
  readonly name: string
  readonly nodes?: string
  readonly routing: string
  readonly family?: string
  readonly outside?: string
  readonly output?: string
}

export const registerLab: Register = (program, session) => {
  const group = program
    .command("lab")
    .description("A cluster of network namespaces on this machine: real agents, real packets, no containers")
  registerUp(group, session)
  registerDown(group, session)
  registerStatus(group, session)
  registerExec(group, session)
  group.command("demo", { hidden: true }).action(async () => {
    const { demo } = await import("../../lab/demo/demo.ts")
    const { io } = session
    session.exitCode = await demo({ out: io.out, colour: io.colour.out, live: io.width !== undefined })
  })
  // The process in the background that answers for a lab's pods.
  group
    .command("respond", { hidden: true })
    .requiredOption("--name <name>")
    .action(async ({ name }: { readonly name: string }) => {
      const [{ respond }, { LabPaths }] = await Promise.all([
        import("../../lab/answering.ts"),
        import("../../lab/paths.ts"),
      ])
      await respond(new LabPaths(name), session.io.interrupted)
    })
}

function registerUp(group: Command, session: Session): void {
  const { io } = session
  const command = group
    .command("up")
    .description("Make a lab of these manifests, or bring the running one of that name into their state")
    .option("-f, --filename <path...>", "Kubernetes manifests: files, directories, or - for standard input")
    .option("-R, --recursive", "subdirectories too")
    .option("--name <name>", "name of the lab", "lab")
    .option("--nodes <count>", "how many nodes (default: those that the manifests name, else 2)")
    .option("--routing <kind>", "how nodes reach each other's pods: vxlan or native", "vxlan")
    .option("--family <family>", "ipv4, ipv6 or dual (default: dual)")
    .option("--outside <list>", "addresses of hosts outside the cluster to make, with commas")
    .option("-o, --output <format>", "text or json")
    .action(async (options: UpOptions) => {
      const format = formatOf(options.output, ["text", "json"], "text")
      if (options.filename === undefined) {
        throw new Failure("usage", "Cannot make a lab", "no manifests are given", "heddle lab up -f DIR")
      }
      const { labUp } = await import("../../lab/manage.ts")
      const paint = painter(io.colour.err)
      const started = performance.now()
      const nodes = nodesOf(options.nodes)
      const { lab, changed, warnings } = await labUp({
        name: options.name,
        texts: await readManifestFiles(io, options.filename, options.recursive ?? false),
        ...(nodes === undefined ? {} : { nodes }),
        routing: routingOf(options.routing),
        families: familiesOf(options.family),
        outside: addressesOf(options.outside),
        progress: (text) => io.err(`${paint("dim", `${text} …`)}\n`),
      })
      for (const warning of warnings) io.err(`${paint("yellow", "warning:")} ${problemText(warning)}\n`)
      const summary = {
        name: options.name,
        nodes: lab.nodes.size,
        pods: lab.pods.size,
        seconds: (performance.now() - started) / 1_000,
      }
      if (format === "json") io.out(jsonText(summary))
      else {
        const verb = changed ? "changed" : "up"
        io.err(
          `${paint("green", "✓")} lab ${options.name} ${verb}: ${count(lab.nodes.size, "node")}, ${count(lab.pods.size, "pod")}, in ${summary.seconds.toFixed(1)} s\n`,
        )
      }
    })
  examples(command, [
    ["heddle lab up -f examples/shop", "two nodes and what the manifests say"],
    ["heddle lab up -f policies/ -f pods.yaml --nodes 3", "from several places"],
    ["heddle lab up -f app.yaml --outside 203.0.113.10", "with a host on the internet"],
  ])
}

function registerDown(group: Command, session: Session): void {
  const { io } = session
  const command = group
    .command("down")
    .description("Take a lab away, and whatever crashed labs left")
    .option("--name <name>", "name of the lab (default: the only one, or the one called lab)")
    .action(async (options: { readonly name?: string }) => {
      const { labDown } = await import("../../lab/manage.ts")
      const name = options.name ?? onlyLab()
      const there = await labDown(name)
      io.err(there ? `lab ${name} is down\n` : `there was no lab ${name}\n`)
    })
  examples(command, [
    ["heddle lab down", "the only lab that is up"],
    ["heddle lab down --name demo", "a certain one"],
  ])
}

function registerStatus(group: Command, session: Session): void {
  const { io } = session
  const command = group
    .command("status")
    .description("What a lab consists of, and whether its nodes enforce")
    .option("--name <name>", "name of the lab (default: the only one, or the one called lab)")
    .option("-o, --output <format>", "table, json or yaml")
    .action(async (options: { readonly name?: string; readonly output?: string }) => {
      const format = formatOf(options.output, ["table", "json", "yaml"], "table")
      const { labStatus } = await import("../../lab/manage.ts")
      const status = await labStatus(options.name ?? onlyLab())
      if (format === "json") io.out(jsonText(statusData(status)))
      else if (format === "yaml") io.out(await yamlText(statusData(status)))
      else io.out(statusTables(io, status))
      if (status.nodes.some((node) => node.problem !== undefined)) session.exitCode = 3
    })
  examples(command, [
    ["heddle lab status", "nodes and pods"],
    ["heddle lab status -o json", "for a script"],
  ])
}

function registerExec(group: Command, session: Session): void {
  const command = group
    .command("exec")
    .description("Run a command in a pod's network namespace")
    .argument("<place>", "NAMESPACE/POD, node/NAME, or outside for the hosts outside the cluster")
    .argument("<command...>", "the command, after --")
    .option("--name <name>", "name of the lab (default: the only one, or the one called lab)")
    .action(async (place: string, words: string[], options: { readonly name?: string }) => {
      const { labExec } = await import("../../lab/manage.ts")
      session.exitCode = await labExec(options.name ?? onlyLab(), place, words)
    })
  examples(command, [
    ["heddle lab exec shop/web-0 -- curl -s http://10.244.2.3:9000", "ask as a pod"],
    ["heddle lab exec node/node-1 -- ip route", "look around on a node"],
    ["heddle lab exec outside -- ping -c 1 172.18.0.2", "from outside the cluster"],
  ])
}

/** The lab that is meant when none is named. */
function onlyLab(): string {
  const names = runningLabs()
  if (names.length === 1 && names[0] !== undefined) return names[0]
  if (names.length === 0 || names.includes("lab")) return "lab"
  throw new Failure(
    "usage",
    "Cannot tell which lab is meant",
    `several are up: ${names.join(", ")}`,
    "name one by --name",
  )
}

function statusData(status: LabStatus): unknown {
  const { record, nodes } = status
  const { name, routing, created, outside } = record
  return {
    name,
    routing,
    created: new Date(created).toISOString(),
    outside,
    nodes: nodes.map(({ name: node, addresses, log, problem, status: agent }) => ({
      name: node,
      addresses,
      log,
      ...(problem === undefined ? {} : { problem }),
      ...(agent === undefined ? {} : { agent: plain(agent) }),
    })),
    pods: record.pods.map(({ namespace, name: pod, node, addresses, hostNetwork, listens }) => ({
      namespace,
      name: pod,
      node,
      addresses,
      hostNetwork,
      listens,
    })),
  }
}

function statusTables(io: Io, { record, nodes }: LabStatus): string {
  const paint = painter(io.colour.out)
  const nodeTable = tableText(nodes, [
    { header: "NODE", value: (node) => node.name },
    { header: "ADDRESSES", value: (node) => node.addresses.join(" ") },
    {
      header: "AGENT",
      value: (node) =>
        node.status === undefined
          ? paint("red", node.problem ?? "does not answer")
          : `${paint("green", "running")}, process ${node.status.processId}`,
    },
    {
      header: "GENERATION",
      value: (node) => (node.status === undefined ? "" : String(node.status.generation)),
      align: "right",
    },
    {
      header: "READY",
      value: (node) => (node.status === undefined ? "" : `${node.status.endpointsReady} of ${node.status.endpoints}`),
    },
  ])
  const podTable = tableText(
    record.pods.toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1)),
    [
      { header: "POD", value: (pod) => `${pod.namespace}/${pod.name}` },
      { header: "NODE", value: (pod) => pod.node },
      { header: "ADDRESSES", value: (pod) => (pod.hostNetwork ? "its node's" : pod.addresses.join(" ")) },
      { header: "LISTENS ON", value: (pod) => pod.listens.map(listenText).join(" ") },
    ],
  )
  const head = `${paint("bold", record.name)}: ${count(nodes.length, "node")}, ${count(record.pods.length, "pod")}, routing ${record.routing}\n`
  const outside = record.outside.length === 0 ? "" : `\nHosts outside: ${record.outside.join(" ")}\n`
  return `${head}\n${nodeTable}\n${podTable}${outside}`
}

function listenText({ port, protocol }: { readonly port: number; readonly protocol: number }): string {
  return `${port}/${{ 6: "TCP", 17: "UDP", 132: "SCTP" }[protocol] ?? protocol}`
}

function nodesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const nodes = Number(text)
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= 100) return nodes
  throw new Failure("usage", `Cannot make ${text} nodes`, "wanted a whole number from 1 to 100", "--nodes 2")
}

function routingOf(text: string): "vxlan" | "native" {
  if (text === "vxlan" || text === "native") return text
  throw new Failure("usage", `Cannot route by ${text}`, "wanted vxlan or native", "--routing vxlan")
}

function familiesOf(text: string | undefined): readonly Family[] {
  const families = { ipv4: [4], ipv6: [6], dual: [4, 6] } as const
  if (text === undefined) return families.dual
  if (text === "ipv4" || text === "ipv6" || text === "dual") return families[text]
  throw new Failure("usage", `Cannot use the family ${text}`, "wanted ipv4, ipv6 or dual", "--family dual")
}

function addressesOf(text: string | undefined): readonly Address[] {
  return (text ?? "")
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const address = tryParseAddress(part.trim())
      if (address !== undefined) return address
      throw new Failure("usage", `Cannot make a host at ${part}`, "it is no IP address", "--outside 203.0.113.10")
    })
}
