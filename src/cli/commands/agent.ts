import { logLevels, type Settings, settingNames } from "../../agent/configuration.ts"
import { examples, type Register } from "../command.ts"
import { version } from "../version.ts"

interface Options extends Settings {
  readonly config?: string
}

export const registerAgent: Register = (program, session) => {
  const { io } = session
  const command = program
    .command("agent")
    .description("Run the agent of a node: follows objects, enforces policy, serves CNI and this command line")
    .option("--config <file>", "YAML file with the settings below as keys (runDir, podPrefixes, …); flags win")
    .option("--node <name>", "name of this node's Node object (default: the host's name)")
    .option("--run-dir <path>", "sockets, pins and state (default: /run/heddle/NODE)")
    .option("--objects <path>", "directory of YAML files that it follows (default: /etc/heddle/objects)")
    .option("--routing <kind>", "how pods of other nodes are reached: vxlan or native (default: vxlan)")
    .option("--uplink <interface>", "interface to the other nodes (default: that of the node's address)")
    .option("--cluster-prefixes <list>", "ranges of the cluster besides the nodes' pod ranges, with commas")
    .option("--non-masquerade <list>", "destinations outside that pods reach with their own address, with commas")
    .option("--overlay-port <number>", "UDP port of the overlay (default: 4789)")
    .option("--pod-prefixes <list>", "ranges of this node's pods (default: those of its Node object)")
    .option("--mtu <bytes>", "MTU of the path to other nodes (default: the uplink's)")
    .option(
      "--big-tcp <mode>",
      "TCP packets above 64 KiB: auto, on or off (default: auto, where nothing would cut them)",
    )
    .option("--netns <path>", "network namespace that is the node (default: the one it is started in)")
    .option("--machine-network", "the machine's own network namespace is the node (refused without this flag)")
    .option("--cni-socket <path>", "socket for the CNI plugin (default: RUN-DIR/cni.sock)")
    .option("--flows-kept <count>", "flows remembered for heddle observe (default: 262144)")
    .option("--flow-records <count>", "connections that the kernel's flow table holds (default: 131072)")
    .option("--address-entries <count>", "addresses that the kernel's table holds (default: 131072)")
    .option("--log-level <level>", `${logLevels.join(", ")} (default: info)`)
    .addHelpText(
      "after",
      `
Settings in the file: ${settingNames.join(", ")}.

On SIGTERM it ends in order and leaves everything enforced; so does its death. A second agent with the
same run directory refuses to start.
`,
    )
    .action(async (options: Options) => {
      const { config, ...flags } = options
      const { runAgent } = await import("../../agent/run.ts")
      session.exitCode = await runAgent({ flags, file: config, version: version.version, stop: io.interrupted })
    })
  examples(command, [
    ["heddle agent --node node-1 --objects ./objects", "a node from flags"],
    ["heddle agent --config /etc/heddle/agent.yaml", "from a file"],
  ])
}
