import { Failure } from "../../api/failure.ts"
import type { StoredObject } from "../../api/generated/heddle/agent/v1/agent_pb.ts"
import { type AgentOptions, agentOptions, examples, type Register, targetsOf, timeoutOf } from "../command.ts"
import { formatOf, formats, jsonText, printListing, yamlText } from "../output/print.ts"
import { problemLines, refName } from "../output/result.ts"
import { originText } from "../output/text.ts"
import { clientOf } from "../target.ts"

interface Options extends AgentOptions {
  readonly namespace?: string
  readonly output?: string
}

export const registerGet: Register = (program, session) => {
  const { io } = session
  const command = agentOptions(program.command("get"))
    .description("List the objects in force, or print one")
    .argument("[kind]", "e.g. pods, networkpolicies, nodes; all kinds when left out")
    .argument("[name]", "one object")
    .option("-n, --namespace <name>", "of this namespace only (default: of all)")
    .option("-A, --all-namespaces", "of all namespaces (as it is without -n)")
    .option("-o, --output <format>", formats.join(", "))
    .action(async (kind: string | undefined, name: string | undefined, options: Options) => {
      const format = formatOf(options.output, formats, "table")
      const [target] = targetsOf(options)
      if (target === undefined) return
      const request = { kind: kind ?? "", name: name ?? "", namespace: options.namespace ?? "" }
      const { objects } = await clientOf(target, timeoutOf(options)).call("get", request)
      if (name !== undefined && objects.length === 0) {
        const where = options.namespace === undefined ? "" : ` in namespace ${options.namespace}`
        throw new Failure(
          "notFound",
          `Cannot get ${kind} ${name}${where}`,
          "there is no such object",
          `heddle get ${kind}`,
        )
      }
      for (const object of objects) io.err(problemLines(io, object.problems))
      const values = objects.map((object): unknown => JSON.parse(object.json))
      const only = name !== undefined && values.length === 1
      const data = only ? values[0] : { apiVersion: "v1", kind: "List", items: values }
      if (format === "json") io.out(jsonText(data))
      else if (format === "yaml") io.out(await yamlText(data))
      else await printListing(io, format, { ...listing, rows: objects })
    })
  examples(command, [
    ["heddle get networkpolicies", "all policies with the file and line they come from"],
    ["heddle get pods -n shop -o wide", "the pods of a namespace"],
    ["heddle get networkpolicy web -n shop -o yaml", "one object as it is in force"],
  ])
}

const listing = {
  name: (object: StoredObject) => refName(object.ref),
  empty: "no objects",
  columns: [
    { header: "KIND", value: (object: StoredObject) => object.ref?.kind ?? "" },
    { header: "NAMESPACE", value: (object: StoredObject) => object.ref?.namespace || "-" },
    { header: "NAME", value: (object: StoredObject) => object.ref?.name ?? "" },
    {
      header: "STATE",
      value: (object: StoredObject) =>
        object.problems.some((one) => one.severity === "error") ? "newer refused" : "in force",
    },
    { header: "API VERSION", value: (object: StoredObject) => object.ref?.apiVersion ?? "", wide: true },
    { header: "FROM", value: (object: StoredObject) => originText(object.origin) },
  ],
}
