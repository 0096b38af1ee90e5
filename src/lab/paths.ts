import { join } from "node:path"

/** Where all labs keep their things; a tmpfs on every Linux machine, empty after a reboot as the namespaces are. */
export const LABS_DIRECTORY = "/run/heddle/lab"

/** Places of one lab (docs/design.md, section 5). */
export class LabPaths {
  readonly name: string
  readonly root: string

  constructor(name: string, directory: string = LABS_DIRECTORY) {
    if (!/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/.test(name)) {
      throw new Error(
        `Cannot name a lab "${name}": a name has at most 63 lower-case letters, digits, "-" and ".". Choose another with --name`,
      )
    }
    this.name = name
    this.root = join(directory, name)
  }

  /** What the lab consists of, for later commands and for cleaning up. */
  get state(): string {
    return join(this.root, "lab.json")
  }

  /** Bind mounts of network namespaces. */
  get namespaces(): string {
    return join(this.root, "ns")
  }

  /** The directory source that all nodes of the lab watch. */
  get objects(): string {
    return join(this.root, "objects")
  }

  get nodes(): string {
    return join(this.root, "nodes")
  }

  /** What the responder answers for. */
  get responder(): string {
    return join(this.root, "responder.json")
  }

  /** The bridge that joins the nodes. */
  get underlay(): string {
    return join(this.namespaces, "underlay")
  }

  /** Hosts that are not in the cluster. */
  get outside(): string {
    return join(this.namespaces, "outside")
  }

  /** Run directory of a node's agent. */
  node(node: string): string {
    return join(this.nodes, node)
  }

  nodeNamespace(node: string): string {
    return join(this.namespaces, `node-${node}`)
  }

  /** `_` stands in no Kubernetes name, so two pods never share a path. */
  podNamespace(namespace: string, pod: string): string {
    return join(this.namespaces, `pod_${namespace}_${pod}`)
  }
}
