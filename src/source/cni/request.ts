import { tryParseAddress } from "../../net/address.ts"
import type { Address } from "../../net/types.ts"
import { CniCode, CniError } from "./error.ts"
import type { AttachmentRef, AttachRequest, CheckRequest } from "./pod-network.ts"
import { attachmentsOf, defaultGateways, interfaceAddresses } from "./previous.ts"
import { type CniVersion, cniVersion } from "./version.ts"

/** A network configuration as far as it is understood; the rest is not ours to judge (spec, section 1). */
export interface Configuration {
  readonly cniVersion: CniVersion
  readonly name: string
  readonly type: string
  readonly dns: Readonly<Record<string, unknown>> | undefined
  /** The result of the plugin before us in a chain (ADD), or of our own ADD (CHECK, DEL). */
  readonly prevResult: Readonly<Record<string, unknown>> | undefined
}

export type CniRequest =
  | { readonly command: "ADD"; readonly configuration: Configuration; readonly attach: AttachRequest }
  | { readonly command: "DEL"; readonly configuration: Configuration; readonly ref: AttachmentRef }
  | { readonly command: "CHECK"; readonly configuration: Configuration; readonly check: CheckRequest }
  | { readonly command: "GC"; readonly configuration: Configuration; readonly valid: readonly AttachmentRef[] }
  | { readonly command: "STATUS"; readonly configuration: Configuration }
  | { readonly command: "VERSION"; readonly asked: unknown }

/** What the shim sends. */
export interface Invocation {
  readonly env: Readonly<Record<string, string>>
  readonly config: Readonly<Record<string, unknown>>
}

/** The frame's text as an invocation; throws `decode`. */
export function parseInvocation(text: string): Invocation {
  const frame = record(parseJson(text, "the shim's request"), "the shim's request")
  const config = typeof frame["config"] === "string" ? frame["config"] : ""
  const env: Record<string, string> = {}
  for (const [key, value] of Object.entries(record(frame["env"], "the shim's environment"))) {
    if (typeof value === "string") env[key] = value
  }
  return { env, config: record(parseJson(config, "the network configuration"), "the network configuration") }
}

/** Checks everything that the spec demands of environment and configuration; throws `CniError`. */
export function parseRequest({ env, config }: Invocation): CniRequest {
  const command = env["CNI_COMMAND"] ?? ""
  if (command === "VERSION") return { command, asked: config["cniVersion"] }
  const configuration = parseConfiguration(config)
  switch (command) {
    case "ADD":
      refuseUnsupported(config)
      return { command, configuration, attach: { ...reference(env), ...attachment(env, config, configuration) } }
    case "DEL":
      return { command, configuration, ref: reference(env) }
    case "CHECK": {
      const ref = reference(env)
      const netns = netnsPath(env)
      const previous = configuration.prevResult
      if (previous === undefined) throw invalid("CHECK needs prevResult, the result of ADD", "prevResult")
      const addresses = interfaceAddresses(previous, ref.ifname)
      return { command, configuration, check: { ...ref, netns, addresses, gateways: defaultGateways(previous) } }
    }
    case "GC":
      refuseBefore110(command, configuration)
      return { command, configuration, valid: attachmentsOf(config["cni.dev/valid-attachments"]) }
    case "STATUS":
      refuseBefore110(command, configuration)
      return { command, configuration }
    default:
      throw new CniError(
        CniCode.invalidEnvironment,
        `Cannot act: CNI_COMMAND is ${JSON.stringify(command)}`,
        "Known: ADD, DEL, CHECK, STATUS, GC, VERSION",
      )
  }
}

function parseConfiguration(config: Readonly<Record<string, unknown>>): Configuration {
  const version = cniVersion(config["cniVersion"])
  const { name, type, dns, prevResult } = config
  if (typeof name !== "string" || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name))
    throw invalid(`name is ${JSON.stringify(name)}, wanted letters, digits, "_", "." and "-"`, "name")
  if (typeof type !== "string" || type === "") throw invalid("type is missing", "type")
  return {
    cniVersion: version,
    name,
    type,
    dns: dns === undefined || dns === null ? undefined : record(dns, "dns", CniCode.invalidConfiguration),
    prevResult:
      prevResult === undefined || prevResult === null
        ? undefined
        : record(prevResult, "prevResult", CniCode.invalidConfiguration),
  }
}

function reference(env: Readonly<Record<string, string>>): AttachmentRef {
  const container = env["CNI_CONTAINERID"] ?? ""
  const ifname = env["CNI_IFNAME"] ?? ""
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(container))
    throw environment("CNI_CONTAINERID", container, 'a letter or digit, then letters, digits, "_", "." or "-"')
  if (ifname === "" || ifname === "." || ifname === ".." || ifname.length > 15 || /[/:\s\0]/.test(ifname))
    throw environment("CNI_IFNAME", ifname, 'an interface name: 1 to 15 bytes, no "/", ":" or white space')
  return { container, ifname }
}

function attachment(
  env: Readonly<Record<string, string>>,
  config: Readonly<Record<string, unknown>>,
  configuration: Configuration,
): Omit<AttachRequest, keyof AttachmentRef> {
  const netns = netnsPath(env)
  const args = cniArgs(env["CNI_ARGS"] ?? "")
  const namespace = args.get("K8S_POD_NAMESPACE") ?? ""
  const pod = args.get("K8S_POD_NAME") ?? ""
  if (namespace === "" || pod === "")
    throw new CniError(
      CniCode.invalidEnvironment,
      "Cannot attach: CNI_ARGS does not name the pod",
      "Policy is enforced by the pod's name: wanted K8S_POD_NAMESPACE=…;K8S_POD_NAME=… as every Kubernetes runtime sends",
    )
  return { netns, network: configuration.name, namespace, pod, addresses: statedAddresses(config, args) }
}

function netnsPath(env: Readonly<Record<string, string>>): string {
  const netns = env["CNI_NETNS"] ?? ""
  if (!netns.startsWith("/") || netns.includes("\0"))
    throw environment("CNI_NETNS", netns, "the absolute path of a network namespace")
  return netns
}

function cniArgs(text: string): ReadonlyMap<string, string> {
  const args = new Map<string, string>()
  for (const pair of text.split(";")) {
    if (pair === "") continue
    const equals = pair.indexOf("=")
    if (equals <= 0) throw environment("CNI_ARGS", text, 'pairs "KEY=VALUE" separated by ";"')
    args.set(pair.slice(0, equals), pair.slice(equals + 1))
  }
  return args
}

/** CONVENTIONS.md: capability `ips`, then `args.cni.ips`, then IP in CNI_ARGS; the first that is there counts. */
function statedAddresses(
  config: Readonly<Record<string, unknown>>,
  args: ReadonlyMap<string, string>,
): readonly Address[] {
  const capability = member(config["runtimeConfig"], "ips")
  const fromArgs = member(member(config["args"], "cni"), "ips")
  const ip = args.get("IP")
  const [field, value] =
    capability !== undefined && capability !== null
      ? ["runtimeConfig.ips", capability]
      : fromArgs !== undefined && fromArgs !== null
        ? ["args.cni.ips", fromArgs]
        : ["CNI_ARGS IP", ip === undefined || ip === "" ? [] : ip.split(",")]
  if (!Array.isArray(value)) throw invalid(`${field} is ${JSON.stringify(value)}, wanted a list of addresses`, field)
  return value.map((text: unknown) => {
    const address = typeof text === "string" ? tryParseAddress(text.replace(/\/\d+$/, "")) : undefined
    if (address === undefined) throw invalid(`${field} holds ${JSON.stringify(text)}, which is no address`, field)
    return address
  })
}

/** What would change the pod's network if it were obeyed must not be ignored in silence (spec: code 2, key and value). */
function refuseUnsupported(config: Readonly<Record<string, unknown>>): void {
  const ipam = member(config["ipam"], "type")
  if (ipam !== undefined && ipam !== "" && ipam !== "heddle")
    throw unsupported("ipam.type", ipam, "Heddle gives addresses itself: remove ipam from the configuration")
  for (const key of ["portMappings", "bandwidth", "mac", "ipRanges"]) {
    const value = member(config["runtimeConfig"], key)
    if (value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0)) continue
    throw unsupported(`runtimeConfig.${key}`, value, `Remove ${key} from capabilities`)
  }
}

function refuseBefore110(command: string, { cniVersion }: Configuration): void {
  if (cniVersion === "1.1.0") return
  throw new CniError(
    CniCode.incompatibleVersion,
    `Cannot act: ${command} came with CNI 1.1.0, the configuration states ${cniVersion}`,
    "Set cniVersion to 1.1.0",
  )
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined
}

function record(value: unknown, what: string, code: 6 | 7 = CniCode.decode): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new CniError(code, `Cannot read ${what}: it is not a JSON object`)
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CniError(
      CniCode.decode,
      `Cannot read ${what}: it is not JSON`,
      error instanceof Error ? error.message : "",
    )
  }
}

function environment(name: string, value: string, wanted: string): CniError {
  const found = value === "" ? "is not set" : `is ${JSON.stringify(value)}`
  return new CniError(CniCode.invalidEnvironment, `Cannot act: ${name} ${found}`, `Wanted ${wanted}`)
}

function invalid(why: string, field: string): CniError {
  return new CniError(
    CniCode.invalidConfiguration,
    `Cannot use the network configuration: ${why}`,
    `Correct ${field} in the configuration that the runtime uses`,
  )
}

function unsupported(key: string, value: unknown, hint: string): CniError {
  const text = `${key} ${JSON.stringify(value)}`
  return new CniError(CniCode.unsupportedField, `Cannot use the network configuration: ${text} is not supported`, hint)
}
