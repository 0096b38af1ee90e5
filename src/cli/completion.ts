import type { Command, Option } from "commander"

export const shells = ["bash", "zsh", "fish"] as const
export type Shell = (typeof shells)[number]

interface Node {
  /** Words from the program's name to this command, joined by blanks. */
  readonly path: string
  readonly commands: readonly { readonly name: string; readonly what: string }[]
  readonly flags: readonly {
    readonly flag: string
    readonly what: string
    readonly values: readonly string[]
    readonly takesValue: boolean
  }[]
}

/** The script that completes commands, flags and the values that flags can have; made from the command tree itself. */
export function completionScript(shell: Shell, program: Command): string {
  const nodes = nodesOf(program, program.name())
  return { bash, zsh, fish }[shell](program.name(), nodes)
}

function nodesOf(command: Command, path: string): Node[] {
  // Help shows what people type; what it hides is not completed either.
  const visible = new Set(
    command
      .createHelp()
      .visibleCommands(command)
      .map((one) => one.name()),
  )
  const commands = command.commands.filter((one) => visible.has(one.name()))
  const help = { flag: "--help", what: "help for this command", values: [], takesValue: false }
  const node: Node = {
    path,
    commands: commands.map((one) => ({ name: one.name(), what: one.description() })),
    flags: [...command.options.filter((option) => option.long !== undefined).map(flagOf), help],
  }
  return [node, ...commands.flatMap((one) => nodesOf(one, `${path} ${one.name()}`))]
}

function flagOf(option: Option): Node["flags"][number] {
  const takesValue = option.required || option.optional
  return { flag: option.long ?? "", what: option.description, values: takesValue ? valuesOf(option) : [], takesValue }
}

/** Choices are written in the descriptions: `table, json or yaml`. */
function valuesOf(option: Option): string[] {
  if (!/^--(output|plane|routing|big-tcp|log-level|verdict|type)$/.test(option.long ?? "")) return []
  const words = option.description.replace(/\([^)]*\)/g, "").match(/[a-z][a-z0-9]*/g) ?? []
  const known = [
    "table",
    "wide",
    "json",
    "jsonl",
    "yaml",
    "name",
    "text",
    "junit",
    "tap",
    "model",
    "compiled",
    "ebpf",
    "vxlan",
    "native",
    "auto",
    "on",
    "off",
  ]
  known.push(
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "silent",
    "forwarded",
    "dropped",
    "start",
    "end",
    "judged",
    "drop",
  )
  return words.filter((word) => known.includes(word))
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function bash(name: string, nodes: readonly Node[]): string {
  const words = nodes.map((node) => {
    const all = [...node.commands.map((one) => one.name), ...node.flags.map((one) => one.flag)]
    return `    ${quote(node.path)}) words=${quote(all.join(" "))};;`
  })
  const valued = nodes.flatMap((node) =>
    node.flags
      .filter((one) => one.values.length > 0)
      .map((one) => `    ${quote(`${node.path} ${one.flag}`)}) words=${quote(one.values.join(" "))};;`),
  )
  const taking = [
    ...new Set(nodes.flatMap((node) => node.flags.filter((one) => one.takesValue).map((one) => one.flag))),
  ]
  const paths = nodes.map((node) => quote(node.path)).join("|")
  return `# bash completion of ${name}
_${name}() {
  local current previous path words i next
  current=\${COMP_WORDS[COMP_CWORD]}
  previous=\${COMP_WORDS[COMP_CWORD-1]}
  path=${name}
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="$path \${COMP_WORDS[i]}"
    case $next in
      ${paths}) path=$next;;
    esac
  done
  case "$path $previous" in
${valued.join("\n")}
    *)
      case $previous in
        ${taking.join("|")}|-o|-f|-n) COMPREPLY=($(compgen -f -- "$current")); return;;
      esac
      case $path in
${words.join("\n")}
      esac;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ \${#COMPREPLY[@]} -eq 0 ]]; then COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -F _${name} ${name}
`
}

function zsh(name: string, nodes: readonly Node[]): string {
  const entry = (text: string, what: string) => quote(`${text.replaceAll(":", "\\:")}:${what}`)
  const cases = nodes.map((node) => {
    const commands = node.commands.map((one) => entry(one.name, one.what)).join(" ")
    const flags = node.flags.map((one) => entry(one.flag, one.what)).join(" ")
    return `    ${quote(node.path)}) commands=(${commands}); flags=(${flags});;`
  })
  const valued = nodes.flatMap((node) =>
    node.flags
      .filter((one) => one.values.length > 0)
      .map((one) => `    ${quote(`${node.path} ${one.flag}`)}) compadd -- ${one.values.join(" ")}; return;;`),
  )
  return `#compdef ${name}
_${name}() {
  local path=${name} word
  local -a commands flags
  for word in \${words[2,CURRENT-1]}; do
    case "$path $word" in
      ${nodes.map((node) => quote(node.path)).join("|")}) path="$path $word";;
    esac
  done
  case "$path \${words[CURRENT-1]}" in
${valued.join("\n")}
  esac
  case $path in
${cases.join("\n")}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then _describe flag flags
  elif (( \${#commands} )); then _describe command commands
  else _files
  fi
}
compdef _${name} ${name}
`
}

function fish(name: string, nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const steps = node.path.split(" ").slice(1)
    const names = node.commands.map((one) => one.name).join(" ")
    const seen = steps.map((step) => `__fish_seen_subcommand_from ${step}`)
    const unseen = names === "" ? [] : [`not __fish_seen_subcommand_from ${names}`]
    const where = [...seen, ...unseen].join("; and ") || "true"
    const inside = seen.join("; and ") || "__fish_use_subcommand"
    return [
      ...node.commands.map((one) => `complete -c ${name} -f -n ${quote(where)} -a ${one.name} -d ${quote(one.what)}`),
      ...node.flags.map((one) => {
        const values = one.values.length > 0 ? ` -x -a ${quote(one.values.join(" "))}` : one.takesValue ? " -r" : ""
        return `complete -c ${name} -n ${quote(inside)} -l ${one.flag.replace(/^--/, "")}${values} -d ${quote(one.what)}`
      }),
    ]
  })
  return `# fish completion of ${name}\n${lines.join("\n")}\n`
}
