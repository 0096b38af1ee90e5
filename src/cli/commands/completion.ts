import type { Command } from "commander"
import { Failure } from "../../api/failure.ts"
import { examples, type Register } from "../command.ts"
import { completionScript, shells } from "../completion.ts"

export const registerCompletion: Register = (program, { io }) => {
  const command = program
    .command("completion")
    .description("Print the completion script of a shell")
    .argument("<shell>", shells.join(", "))
    .action((shell: string, _options: unknown, self: Command) => {
      const known = shells.find((one) => one === shell)
      if (known === undefined) {
        throw new Failure(
          "usage",
          `Cannot complete in ${shell}`,
          `the shells are ${shells.join(", ")}`,
          "heddle completion bash",
        )
      }
      let root = self
      while (root.parent !== null) root = root.parent
      io.out(completionScript(known, root))
    })
  examples(command, [
    ["source <(heddle completion bash)", "in this bash"],
    ["heddle completion zsh > ~/.zfunc/_heddle", "for zsh; the directory must be in fpath"],
    ["heddle completion fish > ~/.config/fish/completions/heddle.fish", "for fish"],
  ])
}
