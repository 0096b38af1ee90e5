import { execFileSync, spawn, spawnSync } from "node:child_process"
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { agentLog, agentReady, cniSocket, startInNamespace } from "../../src/lab/agent-process.ts"
import { cniPlugin, heddleCommand } from "../../src/lab/package.ts"
import { endProcesses, isAlive, type ProcessId, processId } from "../../src/lab/processes.ts"
import type { Stage } from "./stage.ts"

const CGROUPS = "/sys/fs/cgroup"
const PREFIX = "hd-faults-"
const applets = ["sh", "nc", "ip", "echo", "sleep", "ping"]

/** Ends containers, and takes away control groups, of test runs that are no more. */
export function removeContainersLeft(): void {
  for (const controller of readdirSync(CGROUPS)) {
    for (const name of list(join(CGROUPS, controller)).filter((each) => each.startsWith(PREFIX))) {
      if (existsSync(`/proc/${name.slice(PREFIX.length)}`) && name !== `${PREFIX}${process.pid}`) continue
      removeGroup(join(CGROUPS, controller, name))
    }
  }
}

function removeGroup(path: string): void {
  for (const name of list(path).filter((each) => existsSync(join(path, each, "cgroup.procs"))))
    removeGroup(join(path, name))
  for (const pid of readFileSync(join(path, "cgroup.procs"), "utf8").split("\n")) if (pid !== "") kill(Number(pid))
  try {
    rmdirSync(path)
  } catch {
    // Its processes are just ending: the next run takes it away.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It ended meanwhile.
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/**
 * Podman as the runtime of one node: in the node's network namespace, in a mount namespace of its own in which the agent
 * runs too, so that nothing of it is seen on the machine. Its files lie in the lab's directory.
 */
export class Podman {
  readonly #stage: Stage
  readonly #node: string
  readonly #folder: string
  readonly #holder: ProcessId
  #agent: ProcessId | undefined

  private constructor(stage: Stage, node: string, folder: string, holder: ProcessId) {
    this.#stage = stage
    this.#node = node
    this.#folder = folder
    this.#holder = holder
  }

  /** Makes its ground and moves the node's agent there. */
  static async on(stage: Stage, node: string): Promise<Podman> {
    removeContainersLeft()
    const folder = stage.folder("podman")
    for (const part of [
      "root",
      "run",
      "tmp",
      "net.d",
      "cni",
      "keep",
      "rootfs/bin",
      "rootfs/proc",
      "rootfs/sys",
      "rootfs/dev",
      "rootfs/etc",
    ])
      mkdirSync(join(folder, part), { recursive: true })
    cpSync("/usr/bin/busybox", join(folder, "rootfs/bin/busybox"))
    for (const applet of applets) symlinkSync("busybox", join(folder, "rootfs/bin", applet))
    cpSync(cniPlugin(), join(folder, "cni/heddle-cni"))
    const plugin = { type: "heddle-cni", socket: cniSocket(stage.paths, node) }
    writeFileSync(
      join(folder, "net.d/heddle.conflist"),
      JSON.stringify({ cniVersion: "1.0.0", name: "heddle", plugins: [plugin] }),
    )
    writeFileSync(
      join(folder, "containers.conf"),
      `[network]
network_backend = "cni"
cni_plugin_dirs = ["${join(folder, "cni")}"]
network_config_dir = "${join(folder, "net.d")}"
default_network = "heddle"
[engine]
events_logger = "none"
`,
    )
    // A /run of its own, with the lab's part of the machine's.
    const script = `mount --rbind /run/heddle /mnt && mount -t tmpfs run /run && mkdir /run/heddle /run/netns &&
mount --rbind /mnt /run/heddle && umount -l /mnt && mount -t tmpfs shm /dev/shm && echo ready && exec sleep 1000`
    const child = spawn(
      "nsenter",
      [
        `--net=${stage.paths.nodeNamespace(node)}`,
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        script,
      ],
      { stdio: ["ignore", "pipe", "inherit"], detached: true },
    )
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve())
      child.once("close", () => reject(new Error("the mount namespace of podman cannot be made")))
    })
    const holder = child.pid === undefined ? undefined : processId(child.pid)
    if (holder === undefined) throw new Error("the mount namespace of podman is gone")
    child.unref()
    const podman = new Podman(stage, node, folder, holder)
    await stage.stop(node)
    await podman.startAgent()
    return podman
  }

  async startAgent(): Promise<void> {
    const { paths } = this.#stage
    const directory = paths.node(this.#node)
    const command = ["nsenter", `--mount=/proc/${this.#holder.pid}/ns/mnt`, "--", ...heddleCommand(), "agent"]
    const places = ["--run-dir", directory, "--objects", paths.objects, "--config", join(directory, "agent.yaml")]
    const all = [...command, "--node", this.#node, ...places]
    this.#agent = startInNamespace(paths.nodeNamespace(this.#node), all, agentLog(paths, this.#node))
    await agentReady(paths, this.#node, this.#agent)
  }

  /** Starts a container from the root file system of busybox; returns its addresses. */
  run(name: string, command: readonly string[]): string[] {
    const group = [
      "--cgroup-parent",
      `/${PREFIX}${process.pid}`,
      "--ulimit",
      "nofile=1024:1024",
      "--ulimit",
      "nproc=4096:4096",
    ]
    const words = [
      "run",
      "-d",
      ...group,
      "--network",
      "heddle",
      "--name",
      name,
      "--rootfs",
      join(this.#folder, "rootfs"),
    ]
    this.podman([...words, ...command], "shop")
    const networks: unknown = JSON.parse(
      this.podman(["inspect", name, "--format", "{{json .NetworkSettings.Networks}}"]),
    )
    const { IPAddress, GlobalIPv6Address } = (networks as Record<string, Record<string, string>>)["heddle"] ?? {}
    return [IPAddress ?? "", GlobalIPv6Address ?? ""]
  }

  /** What a command in a container printed; whatever it ends with. */
  exec(name: string, command: readonly string[]): string {
    return this.#spawn(["exec", name, ...command]).stdout.trim()
  }

  podman(words: readonly string[], namespace?: string): string {
    const { status, stdout, stderr } = this.#spawn(words, namespace)
    if (status !== 0) throw new Error(`podman ${words.join(" ")}: ${stderr}`)
    return stdout
  }

  #spawn(words: readonly string[], namespace?: string) {
    const netns = this.#stage.paths.nodeNamespace(this.#node)
    const places = ["--root", "root", "--runroot", "run", "--tmpdir", "tmp"].map((word, i) =>
      i % 2 === 0 ? word : join(this.#folder, word),
    )
    const fixed = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    return spawnSync(
      "nsenter",
      [`--net=${netns}`, `--mount=/proc/${this.#holder.pid}/ns/mnt`, "podman", ...places, ...fixed, ...words],
      {
        encoding: "utf8",
        cwd: "/",
        timeout: 60_000,
        env: {
          PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
          CONTAINERS_CONF: join(this.#folder, "containers.conf"),
          ...(namespace === undefined ? {} : { CNI_ARGS: `K8S_POD_NAMESPACE=${namespace}` }),
        },
      },
    )
  }

  async close(): Promise<void> {
    if (isAlive(this.#holder)) this.#spawn(["rm", "-f", "-a", "-t", "0"])
    if (this.#agent !== undefined) await endProcesses([this.#agent], 3_000)
    await endProcesses([this.#holder], 100)
    for (let turn = 0; turn < 20; turn++) {
      removeContainersLeft()
      if (readdirSync(CGROUPS).every((each) => !existsSync(join(CGROUPS, each, `${PREFIX}${process.pid}`)))) break
      await sleep(50)
    }
    rmSync(join(this.#folder, "root"), { recursive: true, force: true })
  }
}

/** Whether podman and runc are installed (scripts/setup test). */
export function hasPodman(): boolean {
  try {
    execFileSync("runc", ["--version"], { stdio: "ignore" })
    return existsSync("/usr/bin/podman")
  } catch {
    return false
  }
}
