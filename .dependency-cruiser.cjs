// The floors of docs/design.md, section 2: a folder stands only on those named here. Each rule says why.
const floors = {
  net: [],
  model: ["net"],
  dialect: ["net", "model"],
  compile: ["net", "model"],
  source: ["net", "model", "dialect"],
  analyse: ["net", "model", "dialect", "compile", "source"],
  kernel: ["net"],
  plane: ["net", "model", "compile", "kernel"],
  flow: ["net", "model", "kernel"],
  api: ["net", "model"],
  suite: ["net", "model", "dialect", "compile", "source"],
  agent: ["net", "model", "dialect", "compile", "source", "kernel", "plane", "flow", "api"],
  lab: ["net", "model", "dialect", "compile", "source", "kernel", "plane", "flow", "api", "suite", "agent"],
  cli: [
    "net",
    "model",
    "dialect",
    "compile",
    "source",
    "analyse",
    "flow",
    "api",
    "suite",
    "agent",
    "lab",
    "kernel",
    "plane",
  ],
}
const reasons = {
  net: "net is pure arithmetic on addresses and packets, the ground of the house",
  model: "model is pure: what a policy means must not depend on where it came from or who enforces it",
  dialect: "a dialect translates one language into the model and knows nothing of compilers or kernels",
  compile: "compile is pure: every decision of the kernel can be replayed from it in a unit test",
  source: "source brings objects in and remembers accepted ones; it must not know who uses them",
  analyse:
    "analyse answers questions about policies by reckoning alone: any cluster that can be written down can be asked about",
  kernel: "kernel knows bytes, not Kubernetes",
  plane: "a plane turns compiled state into kernel objects and nothing else",
  flow: "flow decodes and names events; it does not decide",
  api: "api is the agent's wire contract; it must be usable by a client without the agent",
  suite: "suite reads and judges test cases without a cluster; the lab brings the packets",
  agent: "agent wires a node together and holds no logic",
  lab: "lab makes clusters out of agents",
  cli: "cli is the outermost floor",
}
const rules = Object.entries(floors).map(([name, below]) => ({
  name: `floor-${name}`,
  comment: `${reasons[name]} (docs/design.md, section 2)`,
  severity: "error",
  from: { path: `^src/${name}/`, pathNot: "\\.test\\.ts$" },
  to: { path: "^src/", pathNot: `^src/(${[name, ...below].join("|")})/` },
}))
for (const driver of ["ebpf", "nftables", "iptables"]) {
  rules.push({
    name: `driver-${driver}-alone`,
    comment: "drivers never import one another: each must be readable and removable alone",
    severity: "error",
    from: { path: `^src/plane/${driver}/` },
    to: { path: "^src/plane/(ebpf|nftables|iptables)/", pathNot: `^src/plane/${driver}/` },
  })
}
rules.push({
  name: "no-cycles",
  comment: "a cycle means two modules are one, or the data has no direction (types alone may know each other)",
  severity: "error",
  from: { path: "^(src|abi)/" },
  to: { circular: true, dependencyTypesNot: ["type-only"] },
})
module.exports = {
  forbidden: rules,
  options: {
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(node_modules|generated)" },
    enhancedResolveOptions: { extensions: [".ts", ".js", ".json"] },
  },
}
