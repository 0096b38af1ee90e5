import type { Command } from "commander"
import { type Language, languages } from "../../analyse/convert/convert.ts"
import { refusalText } from "../../analyse/convert/refusal.ts"
import { Failure } from "../../api/failure.ts"
import { examples, type Session } from "../command.ts"
import { readManifestFiles } from "../manifest.ts"
import { painter } from "../output/colour.ts"
import { formatOf, jsonText, yamlText } from "../output/print.ts"
import { count } from "../output/text.ts"

interface Options {
  readonly to: string
  readonly filename?: string[]
  readonly partial?: boolean
  readonly output?: string
}

/** `heddle policy convert`. */
export function registerConvert(group: Command, session: Session): void {
  const { io } = session
  const command = group
    .command("convert")
    .description("Write policies in another language, where it can say exactly the same; needs no cluster and no root")
    .argument("[files...]", "files, directories, or - for standard input: all policies that work together")
    .requiredOption("--to <language>", languages.join(", "))
    .option("-f, --filename <path...>", "the same as the arguments, as an option")
    .option("--partial", "print what can be kept although something cannot")
    .option("-o, --output <format>", "yaml or json", "yaml")
    .action(async (files: string[], options: Options) => {
      const format = formatOf(options.output, ["yaml", "json"], "yaml")
      const to = languageOf(options.to)
      const paths = [...files, ...(options.filename ?? [])]
      if (paths.length === 0) {
        throw new Failure("usage", "Cannot convert", "no file is given", `heddle policy convert --to ${to} FILE`)
      }
      const { convert } = await import("../../analyse/convert/convert.ts")
      const { readManifests } = await import("../../source/yaml.ts")
      const { refuseMistakes } = await import("../cluster-source.ts")
      const read = (await readManifestFiles(io, paths, true)).map(({ file, text }) => readManifests(text, file))
      refuseMistakes("convert", read)
      const { objects, refusals } = convert(
        read.flatMap((one) => one.objects),
        to,
      )
      for (const refusal of refusals) io.err(`${refusalText(refusal)}\n`)
      if (refusals.length > 0) session.exitCode = 1
      if (refusals.length > 0 && options.partial !== true) {
        const things = count(refusals.length, "thing")
        io.err(
          `${painter(io.colour.err)("red", "nothing converted:")} ${things} that ${to} cannot say; --partial prints the rest\n`,
        )
        return
      }
      if (format === "json") io.out(jsonText({ apiVersion: "v1", kind: "List", items: objects }))
      else io.out((await Promise.all(objects.map(yamlText))).join("---\n"))
    })
  examples(command, [
    ["heddle policy convert --to calico policies.yaml", "NetworkPolicies as Calico's"],
    ["heddle policy convert --to policy-api admin.yaml", "AdminNetworkPolicies as ClusterNetworkPolicies"],
    ["heddle policy convert --to kubernetes cilium/ -o json", "what NetworkPolicy cannot say is refused with its line"],
  ])
}

function languageOf(text: string): Language {
  const found = languages.find((language) => language === text.toLowerCase())
  if (found !== undefined) return found
  throw new Failure("usage", `Cannot convert to ${text}`, "no such language", `--to ${languages.join(", --to ")}`)
}
